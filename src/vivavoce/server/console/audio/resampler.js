// @ts-check
/** How many input samples on each side an output sample is made of, at equal rates. */
const REACH = 16;

/**
 * Changes the sample rate of a stream that comes in pieces, by a windowed sinc that is cut off below the lower of both rates.
 * Output lags by `REACH` input samples; what is fed in pieces is the same as what is fed at once.
 */
export class Resampler {
  #step;
  #cutoff;
  #reach;
  /** @type {Float32Array} The input that later outputs still need. */
  #tail;
  /** Where the next output sample lies, in `#tail`. */
  #position;

  /**
   * @param {number} fromHz
   * @param {number} toHz
   */
  constructor(fromHz, toHz) {
    this.#step = fromHz / toHz;
    this.#cutoff = Math.min(1, toHz / fromHz);
    this.#reach = Math.ceil(REACH / this.#cutoff);
    this.#tail = new Float32Array(this.#reach);
    this.#position = this.#reach;
  }

  /**
   * @param {Float32Array} input
   * @returns {Float32Array}
   */
  feed(input) {
    const samples = new Float32Array(this.#tail.length + input.length);
    samples.set(this.#tail);
    samples.set(input, this.#tail.length);
    const output = [];
    while (this.#position + this.#reach < samples.length) {
      output.push(this.#at(samples, this.#position));
      this.#position += this.#step;
    }
    const used = Math.max(0, Math.floor(this.#position) - this.#reach);
    this.#tail = samples.slice(used);
    this.#position -= used;
    return Float32Array.from(output);
  }

  /**
   * @param {Float32Array} samples
   * @param {number} position
   */
  #at(samples, position) {
    const first = Math.max(0, Math.ceil(position - this.#reach));
    const last = Math.min(samples.length - 1, Math.floor(position + this.#reach));
    let sum = 0;
    let weights = 0;
    for (let n = first; n <= last; n += 1) {
      const x = (n - position) * this.#cutoff;
      const window = 0.5 + 0.5 * Math.cos((Math.PI * (n - position)) / (this.#reach + 1));
      const weight = window * (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
      sum += weight * samples[n];
      weights += weight;
    }
    return sum / weights;
  }
}
