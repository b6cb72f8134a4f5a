// @ts-check
import { SNIPPETS } from '../code/snippets.js';
import { byId, copy, h, setText } from './dom.js';

/** @typedef {import('../state/state.js').State} State */

/**
 * The running configuration as code.
 * @param {() => State} now
 */
export function codeDialog(now) {
  const dialog = /** @type {HTMLDialogElement} */ (byId('code-dialog'));
  const shown = byId('code');
  const tabs = Object.keys(SNIPPETS).map((name) => h('button', { type: 'button', class: 'chip', onclick: () => show(name) }, name));
  byId('code-languages').append(...tabs);
  byId('code-copy').addEventListener('click', () => void copy(shown.textContent ?? '', byId('code-copy')));
  byId('code-close').addEventListener('click', () => dialog.close());
  byId('copy-as-code').addEventListener('click', () => {
    show('Python');
    dialog.showModal();
  });

  /** @param {string} name */
  function show(name) {
    const { configuration } = now();
    const running = {
      url: new URL('.', document.baseURI).href,
      model: configuration.session?.model ?? '',
      changes: configuration.changes,
      needsKey: byId('key-dialog').dataset.used === 'true',
    };
    setText(shown, SNIPPETS[name](running));
    for (const tab of tabs) tab.setAttribute('aria-pressed', String(tab.textContent === name));
  }
}

/**
 * Asks for the key where the server wants one. It is handed on, and forgotten here.
 * @param {(key: string) => Promise<string>} unlock What is wrong with the key; empty if nothing is.
 */
export function keyDialog(unlock) {
  const dialog = /** @type {HTMLDialogElement} */ (byId('key-dialog'));
  const input = /** @type {HTMLInputElement} */ (byId('key'));
  const problem = byId('key-problem');
  const button = /** @type {HTMLButtonElement} */ (byId('key-use'));
  byId('key-form').addEventListener('submit', async (event) => {
    event.preventDefault();
    button.disabled = true;
    setText(problem, await unlock(input.value));
    button.disabled = false;
    input.value = '';
    input.setAttribute('aria-invalid', String(problem.textContent !== ''));
    if (problem.textContent) input.focus();
  });

  return (/** @type {State} */ { connection: { status, reason } }) => {
    if (status === 'locked' && !dialog.open) {
      dialog.dataset.used = 'true';
      setText(problem, reason);
      dialog.showModal();
    }
    if (status !== 'locked' && dialog.open) dialog.close();
  };
}
