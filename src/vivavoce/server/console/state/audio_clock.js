// @ts-check
/**
 * When, on the page's clock, a position of the session's input audio was spoken.
 *
 * The server counts audio; the page sends it as it is spoken, with gaps where it does not listen. Marks tie the two together.
 *
 * @typedef {{ms: number, at: number}} Mark The end of a chunk, in audio and on the clock.
 * @typedef {{ms: number, marks: Mark[]}} AudioClock
 */

/** A minute of chunks: longer than a turn's silence, which is what is asked for. */
const MAX_MARKS = 1500;

/** @type {AudioClock} */
export const SILENT = { ms: 0, marks: [] };

/**
 * @param {AudioClock} clock
 * @param {number} ms The length of a chunk.
 * @param {number} at When it was sent, at its end.
 * @returns {AudioClock}
 */
export function advanced(clock, ms, at) {
  const end = clock.ms + ms;
  return { ms: end, marks: [...clock.marks.slice(-MAX_MARKS), { ms: end, at }] };
}

/**
 * @param {AudioClock} clock
 * @param {number} ms A position in the audio.
 * @returns {number | null} `null` where the audio is too long ago, or not sent.
 */
export function timeOf(clock, ms) {
  const index = clock.marks.findIndex((mark) => mark.ms >= ms);
  if (index < 0) return clock.marks.at(-1)?.at ?? null;
  const mark = clock.marks[index];
  return mark.at - (mark.ms - ms);
}
