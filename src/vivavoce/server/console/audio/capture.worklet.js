// @ts-check
/**
 * Runs in the audio thread: what the microphone hears, as chunks of 40 ms at 24,000 Hz.
 * Out: `{samples: Int16Array, peak: number}`, the peak between 0 and 1.
 */

import { SAMPLE_HZ, toInt16 } from './pcm.js';
import { Resampler } from './resampler.js';

const CHUNK_SAMPLES = 960;
const SILENCE = new Float32Array(128);

class Capture extends AudioWorkletProcessor {
  #chunk = new Int16Array(CHUNK_SAMPLES);
  #filled = 0;
  #resampler = sampleRate === SAMPLE_HZ ? null : new Resampler(sampleRate, SAMPLE_HZ);

  /** @param {Float32Array[][]} inputs */
  process(inputs) {
    // A recording that has ended has no channels any more; the silence after it is heard all the same.
    const input = inputs[0]?.[0] ?? SILENCE;
    this.#take(this.#resampler ? this.#resampler.feed(input) : input);
    return true;
  }

  /** @param {Float32Array} samples */
  #take(samples) {
    for (const sample of samples) {
      this.#chunk[this.#filled] = toInt16(sample);
      this.#filled += 1;
      if (this.#filled === CHUNK_SAMPLES) this.#send();
    }
  }

  #send() {
    const samples = this.#chunk;
    const peak = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0) / 32767;
    this.port.postMessage({ samples, peak }, [samples.buffer]);
    this.#chunk = new Int16Array(CHUNK_SAMPLES);
    this.#filled = 0;
  }
}

registerProcessor('capture', Capture);
