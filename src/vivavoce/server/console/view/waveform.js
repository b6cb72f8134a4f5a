// @ts-check
import { byId } from './dom.js';

const BAR = 3;
const GAP = 2;
const STEP_MS = 40;

/**
 * Both voices as they pass by: the person's upwards, the assistant's downwards, the newest at the right. Levels come from the
 * audio threads every 40 ms; nothing is drawn while both are silent.
 */
export function waveform() {
  const canvas = /** @type {HTMLCanvasElement} */ (byId('waveform'));
  const meter = byId('meter');
  /** @type {{input: number, output: number}[]} */
  let bars = [];
  const now = { input: 0, output: 0 };

  setInterval(() => {
    const most = Math.ceil(canvas.clientWidth / (BAR + GAP)) + 1;
    const isQuiet = now.input < 0.004 && now.output < 0.004 && bars.every((bar) => bar.input + bar.output < 0.01);
    meter.setAttribute('aria-valuenow', String(Math.round(loudness(now.input) * 100)));
    if (isQuiet) return;
    bars = [...bars, { ...now }].slice(-most);
    now.output *= 0.5;
    if (!document.hidden) draw(canvas, bars);
  }, STEP_MS);

  return {
    input: (/** @type {number} */ peak) => void (now.input = peak),
    output: (/** @type {number} */ peak) => void (now.output = peak),
  };
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {{input: number, output: number}[]} bars
 */
function draw(canvas, bars) {
  const scale = devicePixelRatio;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== width * scale) [canvas.width, canvas.height] = [width * scale, height * scale];
  const brush = canvas.getContext('2d');
  if (!brush) return;
  const style = getComputedStyle(canvas);
  brush.setTransform(scale, 0, 0, scale, 0, 0);
  brush.clearRect(0, 0, width, height);
  bars.forEach((bar, index) => {
    const x = width - (bars.length - index) * (BAR + GAP);
    brush.fillStyle = style.getPropertyValue('--you');
    brush.fillRect(x, height / 2, BAR, -Math.max(0.5, (loudness(bar.input) * height) / 2));
    brush.fillStyle = style.getPropertyValue('--them');
    brush.fillRect(x, height / 2, BAR, Math.max(0.5, (loudness(bar.output) * height) / 2));
  });
}

/** @param {number} peak 0 to 1, as the ear takes it: -48 dB is nothing. */
function loudness(peak) {
  return Math.max(0, 1 + (20 * Math.log10(Math.max(peak, 1e-6))) / 48);
}
