// @ts-check
import { ticks, timelineOf } from '../state/timeline.js';
import { h, svg } from './dom.js';

/** @typedef {import('../state/turns.js').Turn} Turn */
/** @typedef {import('../state/timeline.js').Timeline} Timeline */

const LANE = 16;
const LANES = /** @type {const} */ (['you', 'server', 'heard']);
const AXIS_TOP = LANES.length * LANE + 4;
const REDRAW_MS = 100;

/**
 * A turn drawn to scale: who spoke, what the server did, what was heard. Its figures unfold.
 */
export function timelineView() {
  const summary = h('summary');
  const figures = h('dl', { class: 'figures' });
  const drawing = h('span', { class: 'drawing' });
  const element = h('details', { class: 'timeline', hidden: true }, summary, figures);
  summary.append(h('span', { class: 'headline' }), drawing);
  let timer = 0;
  element.addEventListener('toggle', () => element.open && element.scrollIntoView({ block: 'nearest' }));

  /** @param {Turn | null} turn */
  function update(turn) {
    clearTimeout(timer);
    element.hidden = turn === null;
    if (turn === null) return;
    const line = timelineOf(turn, performance.now());
    drawing.replaceChildren(draw(line));
    const main = line.figures.find((figure) => figure.main) ?? line.figures.find(({ label }) => label.startsWith('first'));
    summary.children[0].textContent = main ? `${main.label} ${shownMs(main.ms)}` : '…';
    figures.replaceChildren(...line.figures.flatMap(({ label, ms }) => [h('dt', {}, label), h('dd', {}, shownMs(ms))]));
    const isRunning = turn.status === 'in_progress' || (turn.playStart !== null && turn.playEnd === null);
    if (isRunning && element.isConnected) timer = setTimeout(() => update(turn), REDRAW_MS);
  }
  return { element, update };
}

/** @param {number} ms */
function shownMs(ms) {
  return ms < 10_000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** @param {Timeline} line */
function draw({ totalMs, spans, moments }) {
  const x = (/** @type {number} */ ms) => `${((Math.max(0, ms) / totalMs) * 100).toFixed(2)}%`;
  const top = (/** @type {string} */ lane) => LANES.indexOf(/** @type {any} */ (lane)) * LANE;
  const bars = spans.map((span) => {
    const rect = { x: x(span.from), y: top(span.lane) + 2, width: x(span.to - span.from), height: LANE - 5, rx: 3, class: `span ${span.kind}` };
    return svg('rect', rect, svg('title', {}, `${span.label} ${Math.round(span.to - span.from)} ms`));
  });
  const marks = moments.map(({ kind, label, at }) => {
    const place = kind === 'interruption' ? top('heard') : top('server');
    const line = { x1: x(at), x2: x(at), y1: place, y2: place + LANE - 1, class: `moment ${kind}` };
    return svg('line', line, svg('title', {}, `${label} at ${Math.round(at)} ms`));
  });
  const axis = ticks(totalMs, 6).filter((ms) => ms < 0.94 * totalMs).flatMap((ms) => [
    svg('line', { x1: x(ms), x2: x(ms), y1: AXIS_TOP - 4, y2: AXIS_TOP, class: 'tick' }),
    svg('text', { x: x(ms), dx: 3, y: AXIS_TOP + 9, class: 'tick-label' }, ms >= 1000 || ms === 0 ? `${ms / 1000} s` : `${ms} ms`),
  ]);
  const label = spans.map((span) => `${span.label} ${Math.round(span.to - span.from)} ms`).join(', ');
  return svg('svg', { height: AXIS_TOP + 12, role: 'img', 'aria-label': `Time line: ${label}` }, ...axis, ...bars, ...marks);
}
