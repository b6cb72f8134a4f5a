// @ts-check
import { byId, h, keyed, setText } from './dom.js';

/** @typedef {import('../state/state.js').State} State */

/**
 * What went wrong, until it is dismissed; and a line that only screen readers read.
 * @param {(id: number) => void} dismiss
 */
export function notices(dismiss) {
  const list = byId('notices');
  return (/** @type {State} */ state) => {
    keyed(list, state.notices, ({ id }) => String(id), ({ id, text }) => ({
      element: h('li', {}, text, h('button', { class: 'quiet', 'aria-label': 'Dismiss', onclick: () => dismiss(id) }, '×')),
      update: () => {},
    }));
    setText(byId('spoken-status'), spokenStatus(state));
  };
}

/**
 * What changed last, in one sentence. Words are told when they are complete, not as they grow.
 * @param {State} state
 */
function spokenStatus({ connection, items }) {
  if (connection.status !== 'open') return connection.reason;
  const last = items.at(-1);
  if (!last) return 'Connected.';
  if (last.status === 'listening') return 'You are heard.';
  if (last.status !== 'completed' || !last.text) return '';
  if (last.kind === 'call') return `The assistant calls ${last.name}.`;
  return last.kind === 'message' ? `${last.role === 'user' ? 'You' : 'Assistant'}: ${last.text}` : last.text;
}
