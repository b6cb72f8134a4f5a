// @ts-check
import { SAMPLE_HZ } from './pcm.js';

const MODULE = new URL('./playback.worklet.js', import.meta.url);

/**
 * @typedef {object} Listener
 * @property {(itemId: string, ms: number, ended: boolean) => void} played How much of an item was played.
 * @property {(peak: number) => void} level
 */

/** Plays items one after another, stops at once, and knows to the sample what was heard. */
export class Loudspeaker {
  #listener;
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {Promise<AudioWorkletNode> | null} */
  #node = null;
  /** @type {((heard: {itemId: string, ms: number}[]) => void)[]} */
  #flushed = [];
  /** @type {string} */
  #sinkId = '';

  /** @param {Listener} listener */
  constructor(listener) {
    this.#listener = listener;
  }

  /** Get ready to play. Called from a click or a key press, because browsers let no page sound before. */
  async open() {
    const node = await this.#opened();
    await this.#context?.resume();
    return node;
  }

  /**
   * Play through this device from now on.
   * @param {string} deviceId Empty for the system's own choice.
   */
  async choose(deviceId) {
    this.#sinkId = deviceId;
    const context = /** @type {any} */ (this.#context);
    if (context?.setSinkId) await context.setSinkId(deviceId);
  }

  /**
   * @param {string} itemId
   * @param {Int16Array} samples
   */
  async play(itemId, samples) {
    (await this.#opened()).port.postMessage({ do: 'play', itemId, samples }, [samples.buffer]);
  }

  /** @param {string} itemId All of its audio was handed over. */
  async finish(itemId) {
    (await this.#opened()).port.postMessage({ do: 'finish', itemId });
  }

  /**
   * Stop. What was queued is forgotten.
   * @returns {Promise<{itemId: string, ms: number}[]>} What was heard of each item that was not played to its end.
   */
  async flush() {
    if (!this.#node) return [];
    const node = await this.#node;
    return new Promise((resolve) => {
      this.#flushed.push(resolve);
      node.port.postMessage({ do: 'flush' });
    });
  }

  #opened() {
    this.#node ??= this.#start();
    return this.#node;
  }

  async #start() {
    this.#context = new AudioContext({ sampleRate: SAMPLE_HZ, latencyHint: 'interactive' });
    if (this.#sinkId) await this.choose(this.#sinkId);
    await this.#context.audioWorklet.addModule(MODULE);
    const node = new AudioWorkletNode(this.#context, 'playback', { numberOfInputs: 0, outputChannelCount: [1] });
    node.port.onmessage = ({ data }) => this.#hear(data);
    node.connect(this.#context.destination);
    return node;
  }

  /** @param {any} message */
  #hear(message) {
    if (message.did === 'played') this.#listener.played(message.itemId, msOf(message.samples), message.ended);
    else if (message.did === 'level') this.#listener.level(message.peak);
    else this.#flushed.shift()?.(message.heard.map((/** @type {any} */ item) => ({ ...item, ms: msOf(item.samples) })));
  }
}

/** @param {number} samples */
function msOf(samples) {
  return (samples * 1000) / SAMPLE_HZ;
}
