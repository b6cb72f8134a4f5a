// @ts-check
/** How long encoded audio is. Every format is told by its type, as `session.audio.*.format` has it. */

/** @typedef {import('../wire.js').AudioFormat} AudioFormat */

const PCM_BYTES_PER_MS = 48;
const G711_BYTES_PER_MS = 8;

/**
 * The bytes that a base64 text stands for.
 * @param {string} text
 */
export function base64Bytes(text) {
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  return (text.length * 3) / 4 - padding;
}

/**
 * @param {number} bytes
 * @param {AudioFormat} [format] PCM16 at 24 kHz if absent.
 */
export function msOf(bytes, format) {
  return bytes / (format === undefined || format.type === 'audio/pcm' ? PCM_BYTES_PER_MS : G711_BYTES_PER_MS);
}
