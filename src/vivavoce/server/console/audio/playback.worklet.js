// @ts-check
/**
 * Runs in the audio thread: plays what is queued and counts what was played, by item. The context runs at 24,000 Hz.
 *
 * In:  `{do: 'play', itemId, samples}`, `{do: 'finish', itemId}` (all of its audio was queued), `{do: 'flush'}`.
 * Out: `{did: 'played', itemId, samples, ended}` at an item's first sound, then every 50 ms, and at its end;
 *      `{did: 'flushed', heard: [{itemId, samples}]}` for each item that was not played to its end;
 *      `{did: 'level', peak}` every 40 ms while there is sound.
 *
 * What is counted will be heard: whatever left this processor is on its way to the loudspeaker and cannot be called back.
 *
 * @typedef {{itemId: string, chunks: Int16Array[], offset: number, played: number, finished: boolean}} Sound
 */

const START_SAMPLES = 1440;
/** A sound begins, and goes on after a gap, when 60 ms of it are there: the network's small pauses are not heard. */
const REPORT_SAMPLES = 1200;
const LEVEL_SAMPLES = 960;

class Playback extends AudioWorkletProcessor {
  /** @type {Sound[]} */
  #queue = [];
  #waiting = true;
  #sinceReport = 0;
  #sinceLevel = 0;
  #peak = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => {
      if (data.do === 'play') this.#sound(data.itemId).chunks.push(data.samples);
      else if (data.do === 'finish') this.#finish(data.itemId);
      else this.#flush();
    };
  }

  /**
   * @param {unknown} _
   * @param {Float32Array[][]} outputs
   */
  process(_, [[output]]) {
    this.#fill(output);
    this.#measure(output);
    return true;
  }

  /** @param {Float32Array} output */
  #fill(output) {
    let filled = 0;
    while (filled < output.length) {
      const sound = this.#queue[0];
      this.#waiting ||= !sound;
      if (!sound || (this.#waiting && !isReady(sound))) return;
      const played = this.#take(sound, output, filled);
      this.#waiting = played === 0 && !sound.finished;
      filled += played;
      this.#report(sound, played);
      if (played === 0 && !sound.finished) return;
    }
  }

  /**
   * @param {Sound} sound
   * @param {Float32Array} output
   * @param {number} from
   * @returns {number} How many samples were there.
   */
  #take(sound, output, from) {
    const chunk = sound.chunks[0];
    if (!chunk) return 0;
    const count = Math.min(chunk.length - sound.offset, output.length - from);
    for (let n = 0; n < count; n += 1) output[from + n] = chunk[sound.offset + n] / 32768;
    sound.offset += count;
    sound.played += count;
    if (sound.offset === chunk.length) {
      sound.chunks.shift();
      sound.offset = 0;
    }
    return count;
  }

  /**
   * @param {Sound} sound
   * @param {number} played
   */
  #report(sound, played) {
    const ended = sound.finished && sound.chunks.length === 0;
    const isFirst = played > 0 && sound.played === played;
    this.#sinceReport += played;
    if (ended) this.#queue.shift();
    if (!ended && !isFirst && this.#sinceReport < REPORT_SAMPLES) return;
    this.#sinceReport = 0;
    this.port.postMessage({ did: 'played', itemId: sound.itemId, samples: sound.played, ended });
  }

  /** @param {string} itemId */
  #sound(itemId) {
    const known = this.#queue.find((sound) => sound.itemId === itemId);
    if (known) return known;
    const sound = { itemId, chunks: [], offset: 0, played: 0, finished: false };
    this.#queue.push(sound);
    return sound;
  }

  /** @param {string} itemId One that was flushed stays forgotten. */
  #finish(itemId) {
    const sound = this.#queue.find((queued) => queued.itemId === itemId);
    if (sound) sound.finished = true;
  }

  #flush() {
    const heard = this.#queue.map(({ itemId, played }) => ({ itemId, samples: played }));
    this.#queue = [];
    this.#waiting = true;
    this.port.postMessage({ did: 'flushed', heard });
  }

  /** @param {Float32Array} output */
  #measure(output) {
    for (const sample of output) this.#peak = Math.max(this.#peak, Math.abs(sample));
    this.#sinceLevel += output.length;
    if (this.#sinceLevel < LEVEL_SAMPLES) return;
    if (this.#peak > 0) this.port.postMessage({ did: 'level', peak: this.#peak });
    this.#sinceLevel = 0;
    this.#peak = 0;
  }
}

/** @param {Sound} sound */
function isReady(sound) {
  const queued = sound.chunks.reduce((sum, chunk) => sum + chunk.length, 0) - sound.offset;
  return sound.finished || queued >= START_SAMPLES;
}

registerProcessor('playback', Playback);
