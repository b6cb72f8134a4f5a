// @ts-check
import { PAGE_TOOLS } from '../tools/page_tools.js';
import { readTool } from '../tools/schema.js';
import { byId, h, keyed, setText } from './dom.js';

/** @typedef {import('../state/state.js').State} State */
/** @typedef {import('../wire.js').FunctionTool} FunctionTool */

const EXAMPLE = {
  name: 'book_table',
  description: 'Book a table in the restaurant.',
  parameters: {
    type: 'object',
    properties: { guests: { type: 'integer', minimum: 1 }, time: { type: 'string', description: 'Such as 19:30.' } },
    required: ['guests', 'time'],
  },
};

/**
 * The tools of the session: the page's own as switches, any other as JSON that is checked as it is written.
 * @param {(patch: Record<string, any>) => void} update
 */
export function tools(update) {
  /** @type {FunctionTool[]} */
  let current = [];
  const editor = editorOf((tool) => update({ tools: [...current.filter(({ name }) => name !== tool.name), tool] }));
  const without = (/** @type {string} */ name) => update({ tools: current.filter((tool) => tool.name !== name) });
  const switches = PAGE_TOOLS.map(({ tool }) => {
    const box = h('input', { type: 'checkbox', role: 'switch', id: `tool-${tool.name}` });
    box.addEventListener('change', () => (box.checked ? update({ tools: [...current, tool] }) : without(tool.name)));
    const label = h('label', { for: box.id }, h('code', {}, tool.name), h('small', {}, tool.description ?? ''));
    byId('page-tools').append(h('li', {}, label, box));
    return { name: tool.name, box };
  });
  const choice = choiceOf(update);

  return (/** @type {State} */ { configuration }) => {
    if (!configuration.session) return;
    const { tools: list, tool_choice: chosen } = configuration.session;
    current = list;
    for (const { name, box } of switches) box.checked = list.some((tool) => tool.name === name);
    const others = list.filter(({ name }) => switches.every((known) => known.name !== name));
    keyed(byId('own-tools'), others, ({ name }) => name, (tool) => ({
      element: h('li', {}, h('code', {}, tool.name), ...buttons(tool, editor, without)),
      update: () => {},
    }));
    choice(list, chosen);
  };
}

/**
 * @param {FunctionTool} tool
 * @param {(tool: FunctionTool) => void} edit
 * @param {(name: string) => void} remove
 */
function buttons(tool, edit, remove) {
  return [
    h('button', { type: 'button', class: 'quiet', onclick: () => edit(tool) }, 'Edit'),
    h('button', { type: 'button', class: 'quiet', onclick: () => remove(tool.name) }, 'Remove'),
  ];
}

/**
 * @param {(tool: FunctionTool) => void} save
 * @returns {(tool: FunctionTool) => void} Opens the editor with a tool in it.
 */
function editorOf(save) {
  const dialog = /** @type {HTMLDialogElement} */ (byId('tool-dialog'));
  const text = /** @type {HTMLTextAreaElement} */ (byId('tool-json'));
  const done = /** @type {HTMLButtonElement} */ (byId('tool-save'));
  const check = () => {
    const { tool, problems } = readTool(text.value);
    byId('tool-problems').replaceChildren(...problems.map((problem) => h('li', {}, problem)));
    done.disabled = tool === null;
    text.setAttribute('aria-invalid', String(tool === null));
    return tool;
  };
  const open = (/** @type {object} */ tool) => {
    text.value = JSON.stringify(tool, null, 2);
    check();
    dialog.showModal();
  };
  text.addEventListener('input', check);
  byId('tool-new').addEventListener('click', () => open(EXAMPLE));
  byId('tool-cancel').addEventListener('click', () => dialog.close());
  byId('tool-form').addEventListener('submit', () => {
    const tool = check();
    if (tool) save(tool);
  });
  return open;
}

/** @param {(patch: Record<string, any>) => void} update */
function choiceOf(update) {
  const select = /** @type {HTMLSelectElement} */ (byId('tool-choice'));
  const plain = ['auto', 'none', 'required'];
  select.addEventListener('change', () => {
    update({ tool_choice: plain.includes(select.value) ? select.value : { type: 'function', name: select.value } });
  });
  return (/** @type {FunctionTool[]} */ list, /** @type {any} */ chosen) => {
    const names = [...plain, ...list.map(({ name }) => name)];
    if (select.dataset.names !== names.join(' ')) {
      select.dataset.names = names.join(' ');
      select.replaceChildren(...names.map((name) => h('option', { value: name }, name)));
    }
    if (document.activeElement !== select) select.value = typeof chosen === 'string' ? chosen : chosen.name;
    setText(byId('tool-count'), String(list.length));
  };
}
