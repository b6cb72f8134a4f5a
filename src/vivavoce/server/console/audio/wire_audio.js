// @ts-check
/** Sound as the session's formats want it: samples in, base64 out, and back. A stream each, because resampling has a memory. */

import {
  G711_HZ, SAMPLE_HZ, decodeAlaw, decodeUlaw, encodeAlaw, encodeUlaw, fromBase64, pcmBytes, pcmSamples, toBase64, toInt16,
} from './pcm.js';
import { Resampler } from './resampler.js';

/** @typedef {import('../wire.js').AudioFormat} AudioFormat */

export class Encoder {
  #encode;
  #resampler = new Resampler(SAMPLE_HZ, G711_HZ);

  /** @param {AudioFormat} format */
  constructor(format) {
    this.format = format.type;
    this.#encode = format.type === 'audio/pcma' ? encodeAlaw : encodeUlaw;
  }

  /**
   * @param {Int16Array} samples 24,000 Hz.
   * @returns {string} Base64.
   */
  feed(samples) {
    if (this.format === 'audio/pcm') return toBase64(pcmBytes(samples));
    const narrow = this.#resampler.feed(floats(samples));
    return toBase64(Uint8Array.from(narrow, (value) => this.#encode(toInt16(value))));
  }
}

export class Decoder {
  #decode;
  #resampler = new Resampler(G711_HZ, SAMPLE_HZ);

  /** @param {AudioFormat} format */
  constructor(format) {
    this.format = format.type;
    this.#decode = format.type === 'audio/pcma' ? decodeAlaw : decodeUlaw;
  }

  /**
   * @param {string} text Base64.
   * @returns {Int16Array} 24,000 Hz.
   */
  feed(text) {
    const bytes = fromBase64(text);
    if (this.format === 'audio/pcm') return pcmSamples(bytes);
    const wide = this.#resampler.feed(floats(Int16Array.from(bytes, (byte) => this.#decode(byte))));
    return Int16Array.from(wide, toInt16);
  }
}

/** @param {Int16Array} samples */
function floats(samples) {
  return Float32Array.from(samples, (sample) => sample / 32767);
}
