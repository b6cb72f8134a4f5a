// @ts-check
/**
 * What the page does: it speaks for the person, plays the answer, stops when interrupted, and answers calls. Everything that
 * happened goes into the store; what is shown is the views' business.
 *
 * @typedef {import('../state/store.js').Store} Store
 * @typedef {import('../wire.js').ServerEvent} ServerEvent
 * @typedef {import('../wire.js').ClientEvent} ClientEvent
 * @typedef {import('../wire.js').AudioFormat} AudioFormat
 */

import { Loudspeaker } from '../audio/loudspeaker.js';
import { Microphone, MicrophoneProblem } from '../audio/microphone.js';
import { SAMPLE_HZ } from '../audio/pcm.js';
import { Decoder, Encoder } from '../audio/wire_audio.js';
import { Calls } from '../tools/calls.js';

const LEAST_COMMIT_MS = 100;
const PCM = { type: 'audio/pcm' };

export class Dialogue {
  #store;
  #line;
  #levels;
  #microphone = new Microphone((samples, peak) => this.#hear(samples, peak));
  #loudspeaker = new Loudspeaker({
    played: (itemId, ms, ended) => this.#store.dispatch({ kind: 'played', itemId, ms, ended, at: performance.now() }),
    level: (peak) => this.#levels.output(peak),
  });
  #calls;
  #encoder = new Encoder(PCM);
  /** @type {Map<string, Decoder>} By response, in the order in which they began. */
  #decoders = new Map();
  /** @type {Set<string>} Responses that were interrupted: what still comes of them is not played. */
  #silenced = new Set();
  #activeResponse = '';
  #heldMs = 0;

  /**
   * @param {Store} store
   * @param {import('../net/line.js').Line} line
   * @param {{input: (peak: number) => void, output: (peak: number) => void}} levels
   */
  constructor(store, line, levels) {
    this.#store = store;
    this.#line = line;
    this.#levels = levels;
    this.#calls = new Calls(store, (event) => line.send(event));
  }

  // --- what the person does ---

  /** Listen through the microphone. */
  async listen(deviceId = '') {
    await this.#from('', () => this.#microphone.open(deviceId));
  }

  /** @param {File} file Plays in place of the microphone. */
  async listenTo(file) {
    await this.#from(file.name, () => this.#microphone.openFile(file));
  }

  stopListening() {
    this.#microphone.close();
    this.#levels.input(0);
    this.#store.dispatch({ kind: 'microphone', change: { status: 'off', held: false, source: '' } });
  }

  /** Push-to-talk: the button goes down. Whoever speaks wants silence. */
  hold() {
    if (this.#store.state.microphone.held) return;
    this.#heldMs = 0;
    this.#store.dispatch({ kind: 'microphone', change: { held: true } });
    void this.stop();
  }

  /** Push-to-talk: the button comes up. */
  release() {
    if (!this.#store.state.microphone.held) return;
    this.#store.dispatch({ kind: 'microphone', change: { held: false } });
    if (this.#heldMs >= LEAST_COMMIT_MS) {
      this.#line.send({ type: 'input_audio_buffer.commit' });
      this.#line.send({ type: 'response.create' });
    } else {
      this.#line.send({ type: 'input_audio_buffer.clear' });
      this.#store.dispatch({ kind: 'notice', text: 'Hold the button as long as you speak.' });
    }
  }

  /** @param {string} text */
  async type(text) {
    await this.#loudspeaker.open();
    await this.stop();
    const item = { type: 'message', role: 'user', content: [{ type: 'input_text', text }] };
    this.#line.send({ type: 'conversation.item.create', item });
    this.#line.send({ type: 'response.create' });
  }

  /** Stop the answer: the server makes no more of it, the loudspeaker is silent, and the server knows what was heard. */
  async stop() {
    if (this.#activeResponse) this.#line.send({ type: 'response.cancel', response_id: this.#activeResponse });
    await this.#cut();
  }

  /**
   * @param {string} callId
   * @param {string} output
   */
  answerCall(callId, output) {
    this.#calls.answer(callId, output);
  }

  /** @param {string} deviceId */
  async playThrough(deviceId) {
    await this.#loudspeaker.choose(deviceId);
  }

  // --- what the server does ---

  /** A new session: nothing that belonged to the old one goes on. */
  async opened() {
    this.#activeResponse = '';
    this.#encoder = new Encoder(PCM);
    this.#decoders.clear();
    this.#silenced.clear();
    this.#calls.forget();
    await this.#loudspeaker.flush();
  }

  /** @param {ServerEvent} event */
  received(event) {
    switch (event.type) {
      case 'session.created':
      case 'session.updated':
        return this.#encodeAs(event.session.audio.input.format);
      case 'input_audio_buffer.speech_started':
        return this.#speechStarted();
      case 'response.created':
        if (event.response.conversation_id) this.#activeResponse = event.response.id;
        return this.#decode(event.response);
      case 'response.output_audio.delta':
        return this.#play(event.response_id, event.item_id, event.delta);
      case 'response.output_audio.done':
        return void this.#loudspeaker.finish(event.item_id);
      case 'response.done':
        if (this.#activeResponse === event.response.id) this.#activeResponse = '';
        return this.#calls.take(event.response.output);
    }
  }

  #speechStarted() {
    const detection = this.#store.state.configuration.session?.audio.input.turn_detection;
    if (detection?.interrupt_response) void this.#cut();
  }

  /** @param {import('../wire.js').Response} response */
  #decode({ id, audio }) {
    this.#decoders.set(id, new Decoder(audio.output.format));
    if (this.#decoders.size > 8) this.#decoders.delete([...this.#decoders.keys()][0]);
  }

  /**
   * @param {string} responseId
   * @param {string} itemId
   * @param {string} delta
   */
  #play(responseId, itemId, delta) {
    const decoder = this.#decoders.get(responseId);
    if (!decoder || this.#silenced.has(responseId)) return;
    const samples = decoder.feed(delta);
    this.#store.dispatch({ kind: 'queued', itemId, ms: (samples.length * 1000) / SAMPLE_HZ });
    void this.#loudspeaker.play(itemId, samples);
  }

  /** Silence the loudspeaker, and tell the server how much of each item was heard: whole milliseconds, rounded down. */
  async #cut() {
    for (const id of this.#decoders.keys()) this.#silenced.add(id);
    const heard = await this.#loudspeaker.flush();
    if (heard.length === 0) return;
    this.#store.dispatch({ kind: 'cut', heard, at: performance.now() });
    for (const { itemId, ms } of heard) {
      const position = { item_id: itemId, content_index: 0, audio_end_ms: Math.floor(ms) };
      this.#line.send({ type: 'conversation.item.truncate', ...position });
    }
  }

  // --- sound ---

  /**
   * @param {string} source The recording's name; empty for a device.
   * @param {() => Promise<void>} open
   */
  async #from(source, open) {
    this.#store.dispatch({ kind: 'microphone', change: { status: 'asking', source, problem: '' } });
    try {
      await Promise.all([open(), this.#loudspeaker.open()]);
      this.#store.dispatch({ kind: 'microphone', change: { status: 'on' } });
    } catch (error) {
      this.#microphone.close();
      const problem = error instanceof MicrophoneProblem ? error.message : `The sound could not be opened: ${error}`;
      this.#store.dispatch({ kind: 'microphone', change: { status: 'failed', problem, held: false } });
    }
  }

  /** @param {AudioFormat} format */
  #encodeAs(format) {
    if (this.#encoder.format !== format.type) this.#encoder = new Encoder(format);
  }

  /**
   * @param {Int16Array} samples
   * @param {number} peak
   */
  #hear(samples, peak) {
    const { configuration, microphone } = this.#store.state;
    const handsFree = configuration.session?.audio.input.turn_detection != null;
    // Between two formats nothing is sent: the server reads what comes after the update in the new one.
    const isSettled = !configuration.pending.some(({ patch }) => patch.audio?.input?.format);
    const isHeard = configuration.session !== null && isSettled && (handsFree || microphone.held);
    this.#levels.input(isHeard ? peak : 0);
    if (!isHeard) return;
    this.#heldMs += (samples.length * 1000) / SAMPLE_HZ;
    this.#line.send({ type: 'input_audio_buffer.append', audio: this.#encoder.feed(samples) });
  }
}
