// @ts-check
/** @typedef {import('./state.js').State} State */
/** @typedef {import('./state.js').Action} Action */

import { reduce } from './reducer.js';
import { emptyState } from './state.js';

/** Holds the state, and tells whoever asked that it changed. */
export class Store {
  /** @type {State} */
  #state = emptyState();
  /** @type {Set<(state: State) => void>} */
  #watchers = new Set();

  get state() {
    return this.#state;
  }

  /** @param {Action} action */
  dispatch(action) {
    const state = reduce(this.#state, action);
    if (state === this.#state) return;
    this.#state = state;
    for (const watcher of this.#watchers) watcher(state);
  }

  /** @param {(state: State) => void} watcher Called after every change. */
  watch(watcher) {
    this.#watchers.add(watcher);
  }
}
