// @ts-check
/**
 * A turn as lanes of spans and a list of figures, in milliseconds from the turn's beginning. What is drawn, without drawing.
 *
 * @typedef {import('./turns.js').Turn} Turn
 * @typedef {{lane: 'you' | 'server' | 'heard', kind: string, label: string, from: number, to: number}} Span
 * @typedef {{kind: string, label: string, at: number}} Moment
 * @typedef {{label: string, ms: number, main?: boolean}} Figure
 * @typedef {{totalMs: number, spans: Span[], moments: Moment[], figures: Figure[]}} Timeline
 */

/** A turn that took no time has room to be seen all the same. */
const LEAST_MS = 100;

/**
 * @param {Turn} turn
 * @param {number} now Where spans end that have not ended.
 * @returns {Timeline}
 */
export function timelineOf(turn, now) {
  const began = turn.speechStart ?? turn.asked ?? turn.stopped ?? turn.created ?? now;
  const times = [turn.speechStart, turn.stopped, turn.done, turn.playEnd, turn.interrupted, turn.playStart, turn.created];
  const running = turn.done === null || (turn.playStart !== null && turn.playEnd === null);
  const end = Math.max(...times.map((time) => time ?? began), running ? now : began, began + LEAST_MS);
  return { totalMs: end - began, spans: spansOf(turn, began, end), moments: momentsOf(turn, began), figures: figuresOf(turn) };
}

/**
 * @param {Turn} turn
 * @param {number} began
 * @param {number} end
 * @returns {Span[]}
 */
function spansOf(turn, began, end) {
  /** @type {Span[]} */
  const spans = [];
  /** @type {(lane: Span['lane'], kind: string, label: string, from: number | null, to: number | null) => void} */
  const add = (lane, kind, label, from, to) => {
    if (from !== null && (to ?? end) > from) spans.push({ lane, kind, label, from: from - began, to: (to ?? end) - began });
  };
  const firstOutput = earliest(turn.firstText, turn.firstAudio) ?? turn.done;
  add('you', 'speech', 'speech', turn.speechStart, turn.speechEnd ?? turn.stopped);
  if (turn.speechEnd !== null) add('you', 'silence', 'silence', turn.speechEnd, turn.stopped);
  if (turn.transcribed !== null) add('server', 'transcription', 'transcription', turn.stopped, turn.transcribed);
  add('server', 'waiting', 'thinking', turn.created, firstOutput);
  if (firstOutput !== null) add('server', 'generation', 'generation', firstOutput, turn.done);
  add('heard', 'playback', 'playback', turn.playStart, turn.playEnd);
  return spans;
}

/**
 * @param {Turn} turn
 * @param {number} began
 * @returns {Moment[]}
 */
function momentsOf(turn, began) {
  /** @type {[string, string, number | null][]} */
  const moments = [
    ['text', 'first token', turn.firstText],
    ['audio', 'first audio', turn.firstAudio],
    ['interruption', 'interruption', turn.interrupted],
  ];
  return moments.flatMap(([kind, label, time]) => (time === null ? [] : [{ kind, label, at: time - began }]));
}

/**
 * The waits that a person feels, from the end of their speech, or from sending.
 * @param {Turn} turn
 * @returns {Figure[]}
 */
function figuresOf(turn) {
  const from = turn.speechEnd ?? turn.asked;
  /** @type {[string, number | null, number | null, boolean?][]} */
  const rows = [
    ['speech', turn.speechStart, turn.speechEnd],
    ['end of speech told', turn.speechEnd, turn.stopped],
    ['transcript', from, turn.transcribed],
    ['first token', from, turn.firstText],
    ['first audio', from, turn.firstAudio],
    ['first sound', from, turn.playStart, true],
    ['response done', from, turn.done],
    ['playback', turn.playStart, turn.playEnd],
    ['audio made', 0, turn.audioMs || null],
  ];
  return rows.flatMap(([label, start, stop, main]) =>
    start === null || stop === null ? [] : [{ label, ms: Math.round(stop - start), ...(main && { main }) }],
  );
}

/**
 * @param {number | null} one
 * @param {number | null} other
 */
function earliest(one, other) {
  return one === null || other === null ? (one ?? other) : Math.min(one, other);
}

/**
 * Round steps for an axis: 1, 2 or 5 times a power of ten, at most `most` of them.
 * @param {number} totalMs
 * @param {number} most
 */
export function ticks(totalMs, most) {
  const rough = totalMs / most;
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
  const step = [1, 2, 5, 10].map((n) => n * power).find((size) => size >= rough) ?? 10 * power;
  return Array.from({ length: Math.floor(totalMs / step) + 1 }, (_, n) => n * step);
}
