// @ts-check
/**
 * The page's line to the server: asks for a key where one is needed, keeps the connection, gives a new session what the old
 * one was told, and puts every event into the store.
 *
 * The key is never kept: it is exchanged for a client secret, which lives in memory only.
 */

import { Connection } from './connection.js';
import { Refused, exchange, models, roundTrip } from './access.js';
import { merged } from '../state/configuration.js';

/** @typedef {import('../wire.js').ClientEvent} ClientEvent */
/** @typedef {import('../wire.js').ServerEvent} ServerEvent */
/** @typedef {{opened: () => void, received: (event: ServerEvent) => void}} Listener */

const ROUND_TRIP_EVERY_MS = 5000;

export class Line {
  #store;
  #base;
  #connection;
  /** @type {Listener | null} */
  #listener = null;
  #secret = { value: '', expiresAt: 0 };
  #model = '';
  #expired = false;
  /** @type {Record<string, any>} What a session is told first. */
  #wishes;

  /**
   * @param {import('../state/store.js').Store} store
   * @param {URL} base Where the server's paths begin.
   * @param {Record<string, any>} wishes
   */
  constructor(store, base, wishes) {
    this.#store = store;
    this.#base = base;
    this.#wishes = wishes;
    this.#connection = new Connection({
      opened: () => this.#opened(),
      received: (event) => this.#received(event),
      sent: (event) => store.dispatch({ kind: 'sent', event, at: performance.now() }),
      lost: (reason, wasOpen) => void this.#lost(reason, wasOpen),
    });
    setInterval(() => void this.#measure(), ROUND_TRIP_EVERY_MS);
  }

  /** @param {Listener} listener */
  listen(listener) {
    this.#listener = listener;
  }

  get model() {
    return this.#model;
  }

  /** Connect without a key, or with the secret that is at hand; ask for a key if the server wants one. */
  async start() {
    this.#show({ status: 'connecting', reason: '' });
    try {
      if (!this.#secret.value) this.#show({ models: await models(this.#base) });
      this.#connect();
    } catch (error) {
      if (error instanceof Refused && error.status === 401) this.#show({ status: 'locked', reason: '' });
      else this.#retry(String(error instanceof Refused ? error.message : 'The server does not answer.'));
    }
  }

  /**
   * @param {string} key
   * @returns {Promise<string>} What is wrong with it; empty if nothing is.
   */
  async unlock(key) {
    try {
      const [secret, names] = await Promise.all([exchange(this.#base, key), models(this.#base, key)]);
      this.#secret = secret;
      this.#show({ models: names });
      this.#connect();
      return '';
    } catch (error) {
      return error instanceof Refused ? error.message : 'The server does not answer.';
    }
  }

  /** @param {string} model A session of this model, from the beginning. */
  useModel(model) {
    this.#model = model;
    this.#connect();
  }

  /** A new session. */
  restart() {
    void this.start();
  }

  /**
   * @param {ClientEvent} event
   * @returns {string | null} Its id, or `null` if there is no connection.
   */
  send(event) {
    return this.#connection.send(event);
  }

  /** @param {Record<string, any>} patch What is to change in the session. */
  update(patch) {
    this.send({ type: 'session.update', session: { type: 'realtime', ...patch } });
  }

  // --- the connection ---

  #connect() {
    this.#expired = false;
    this.#show({ status: 'connecting', reason: '' });
    this.#connection.open(this.#base, this.#model, this.#secret.value);
  }

  /** @param {string} reason */
  #retry(reason) {
    this.#show({ status: 'reconnecting', reason });
    setTimeout(() => void this.start(), 1000);
  }

  #opened() {
    const { changes, pending } = this.#store.state.configuration;
    const wanted = pending.reduce((all, { patch }) => merged(all, patch), merged(this.#wishes, changes));
    this.#store.dispatch({ kind: 'opened', at: performance.now() });
    this.#show({ status: 'open', reason: '' });
    this.#listener?.opened();
    this.update(wanted);
    setTimeout(() => void this.#measure(), 500);
  }

  /** @param {ServerEvent} event */
  #received(event) {
    this.#store.dispatch({ kind: 'received', event, at: performance.now() });
    if (event.type === 'error' && event.error.code === 'session_expired') this.#expired = true;
    this.#listener?.received(event);
  }

  /**
   * @param {string} reason
   * @param {boolean} wasOpen
   */
  async #lost(reason, wasOpen) {
    if (this.#expired) {
      this.#connection.close();
      this.#show({ status: 'ended', reason, roundTripMs: null });
      return;
    }
    this.#show({ status: 'reconnecting', reason, roundTripMs: null });
    if (!wasOpen && this.#secret.value && (await this.#isUp())) this.#lock();
  }

  /** The server is there and does not take the secret: it has expired, or the server was started anew with another signature. */
  #lock() {
    this.#connection.close();
    this.#secret = { value: '', expiresAt: 0 };
    this.#show({ status: 'locked', reason: 'The server no longer takes the client secret, or is full.' });
  }

  async #isUp() {
    return roundTrip(this.#base).then(
      () => true,
      () => false,
    );
  }

  async #measure() {
    if (!this.#connection.isOpen || document.hidden) return;
    try {
      this.#show(await roundTrip(this.#base));
    } catch {
      this.#show({ roundTripMs: null });
    }
  }

  /** @param {Partial<import('../state/state.js').Connection>} change */
  #show(change) {
    this.#store.dispatch({ kind: 'connection', change });
  }
}
