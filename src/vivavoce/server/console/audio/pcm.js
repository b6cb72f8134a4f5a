// @ts-check
/**
 * Samples and bytes. Inside the console sound is Int16 at 24,000 Hz, mono; on the wire it is base64 of PCM16 (little-endian) or
 * G.711 (one byte a sample, 8,000 Hz).
 */

export const SAMPLE_HZ = 24_000;
export const G711_HZ = 8_000;
const BASE64_BLOCK = 0x8000;

/**
 * @param {Uint8Array} bytes
 * @returns {string}
 */
export function toBase64(bytes) {
  let text = '';
  for (let start = 0; start < bytes.length; start += BASE64_BLOCK) {
    text += String.fromCharCode(...bytes.subarray(start, start + BASE64_BLOCK));
  }
  return btoa(text);
}

/**
 * @param {string} text
 * @returns {Uint8Array}
 */
export function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** @param {Int16Array} samples */
export function pcmBytes(samples) {
  const bytes = new Uint8Array(samples.length * 2);
  const view = new DataView(bytes.buffer);
  samples.forEach((sample, n) => view.setInt16(2 * n, sample, true));
  return bytes;
}

/** @param {Uint8Array} bytes Half a sample at the end is left out. */
export function pcmSamples(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Int16Array.from({ length: bytes.byteLength >> 1 }, (_, n) => view.getInt16(2 * n, true));
}

/** @param {number} value -1 to 1; what is beyond is cut. */
export function toInt16(value) {
  return Math.round(Math.max(-1, Math.min(1, value)) * 32767);
}

// --- G.711 ---

const ULAW_BIAS = 132;
const ULAW_CLIP = 32_635;

/** @param {number} sample 16 bits. */
export function encodeUlaw(sample) {
  const sign = sample < 0 ? 0x80 : 0;
  const size = Math.min(Math.abs(sample), ULAW_CLIP) + ULAW_BIAS;
  const exponent = 31 - Math.clz32(size) - 7;
  return ~(sign | (exponent << 4) | ((size >> (exponent + 3)) & 0x0f)) & 0xff;
}

/** @param {number} byte */
export function decodeUlaw(byte) {
  const code = ~byte & 0xff;
  const size = ((((code & 0x0f) << 3) + ULAW_BIAS) << ((code & 0x70) >> 4)) - ULAW_BIAS;
  return code & 0x80 ? -size : size;
}

/** @param {number} sample 16 bits. */
export function encodeAlaw(sample) {
  const sign = sample < 0 ? 0 : 0x80;
  const size = (sample < 0 ? ~sample : sample) >> 4;
  const exponent = size < 16 ? 0 : 31 - Math.clz32(size) - 3;
  const mantissa = (size >> Math.max(exponent - 1, 0)) & 0x0f;
  return (sign | (exponent << 4) | mantissa) ^ 0x55;
}

/** @param {number} byte */
export function decodeAlaw(byte) {
  const code = byte ^ 0x55;
  const exponent = (code & 0x70) >> 4;
  const mantissa = ((code & 0x0f) << 4) + 8;
  const size = exponent === 0 ? mantissa : (mantissa + 0x100) << (exponent - 1);
  return code & 0x80 ? size : -size;
}
