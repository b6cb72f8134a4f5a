// @ts-check
/**
 * A WebSocket to the server that comes back when it breaks.
 *
 * @typedef {import('../wire.js').ServerEvent} ServerEvent
 * @typedef {import('../wire.js').ClientEvent} ClientEvent
 * @typedef {object} Listener
 * @property {() => void} opened
 * @property {(event: ServerEvent) => void} received
 * @property {(event: ClientEvent) => void} sent
 * @property {(reason: string, wasOpen: boolean) => void} lost It is tried again, unless the listener closes the connection.
 */

const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 8000;
/** More than this unsent, and input audio is dropped rather than heard minutes late. */
const MAX_UNSENT_BYTES = 1_000_000;

export class Connection {
  #listener;
  /** @type {WebSocket | null} */
  #socket = null;
  #waitMs = FIRST_WAIT_MS;
  #timer = 0;
  #events = 0;
  #address = '';
  /** @type {string[]} */
  #protocols = [];

  /** @param {Listener} listener */
  constructor(listener) {
    this.#listener = listener;
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /**
   * Connect, and stay connected until `close`.
   * @param {URL} base
   * @param {string} model
   * @param {string} secret A client secret; empty where the server is open.
   */
  open(base, model, secret) {
    this.close();
    const url = new URL('v1/realtime', base);
    url.protocol = url.protocol.replace('http', 'ws');
    if (model) url.searchParams.set('model', model);
    this.#address = url.href;
    // A browser cannot set headers on a WebSocket: the credential is offered as a subprotocol.
    this.#protocols = ['realtime', ...(secret ? [`openai-insecure-api-key.${secret}`] : [])];
    this.#waitMs = FIRST_WAIT_MS;
    this.#connect();
  }

  close() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }

  /**
   * @param {ClientEvent} event It gets an `event_id`.
   * @returns {string | null} The id; `null` if it could not be sent.
   */
  send(event) {
    const socket = this.#socket;
    if (!socket || !this.isOpen) return null;
    if (event.type === 'input_audio_buffer.append') {
      if (socket.bufferedAmount > MAX_UNSENT_BYTES) return null;
      socket.send(JSON.stringify(event));
      this.#listener.sent(event);
      return '';
    }
    this.#events += 1;
    const named = { event_id: `console_${this.#events}`, ...event };
    socket.send(JSON.stringify(named));
    this.#listener.sent(named);
    return named.event_id;
  }

  #connect() {
    const socket = new WebSocket(this.#address, this.#protocols);
    let wasOpen = false;
    this.#socket = socket;
    socket.onopen = () => {
      wasOpen = true;
      this.#waitMs = FIRST_WAIT_MS;
      this.#listener.opened();
    };
    socket.onmessage = ({ data }) => {
      if (this.#socket === socket) this.#listener.received(JSON.parse(data));
    };
    socket.onclose = ({ reason }) => {
      const usual = wasOpen ? 'The connection was lost.' : 'No connection: the server is down, or full.';
      if (this.#socket === socket) this.#lose(reason || usual, wasOpen);
    };
  }

  /**
   * @param {string} reason
   * @param {boolean} wasOpen
   */
  #lose(reason, wasOpen) {
    this.#timer = setTimeout(() => this.#connect(), this.#waitMs);
    this.#waitMs = Math.min(2 * this.#waitMs, LONGEST_WAIT_MS);
    this.#listener.lost(reason, wasOpen);
  }
}
