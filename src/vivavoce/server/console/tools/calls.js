// @ts-check
import { PAGE_TOOLS } from './page_tools.js';
import { misfits } from './schema.js';

/** @typedef {import('../wire.js').WireItem} WireItem */
/** @typedef {import('../wire.js').ClientEvent} ClientEvent */

/**
 * Answers the functions that the model calls: the page's own at once, any other when a person does. When every call of a
 * response is answered, the conversation goes on.
 */
export class Calls {
  #store;
  #send;
  /** @type {Set<string>} The ids of calls of the current response that have no output yet. */
  #open = new Set();

  /**
   * @param {import('../state/store.js').Store} store
   * @param {(event: ClientEvent) => unknown} send
   */
  constructor(store, send) {
    this.#store = store;
    this.#send = send;
  }

  /** @param {WireItem[]} output What a finished response holds. */
  take(output) {
    const calls = output.filter((item) => item.type === 'function_call' && item.status === 'completed');
    if (calls.length === 0) return;
    this.#open = new Set(calls.map((call) => call.call_id ?? ''));
    for (const call of calls) {
      const known = PAGE_TOOLS.find(({ tool }) => tool.name === call.name);
      if (known) this.answer(call.call_id ?? '', JSON.stringify(this.#run(known, call.arguments ?? '')));
    }
  }

  /** The session is gone, and with it whoever waits for outputs. */
  forget() {
    this.#open.clear();
  }

  /**
   * @param {string} callId
   * @param {string} output
   */
  answer(callId, output) {
    this.#send({ type: 'conversation.item.create', item: { type: 'function_call_output', call_id: callId, output } });
    if (this.#open.delete(callId) && this.#open.size === 0) this.#send({ type: 'response.create' });
  }

  /**
   * @param {import('./page_tools.js').PageTool} known
   * @param {string} text
   */
  #run({ tool, run }, text) {
    try {
      const args = JSON.parse(text || '{}');
      const problems = misfits(args, tool.parameters);
      return problems.length ? { error: problems.join(' ') } : run(args, this.#store);
    } catch (error) {
      return { error: `The arguments are not JSON: ${error instanceof Error ? error.message : error}` };
    }
  }
}
