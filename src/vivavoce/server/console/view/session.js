// @ts-check
import { FIELDS, GROUPS } from '../session/fields.js';
import { PRESETS } from '../session/presets.js';
import { paths } from '../state/configuration.js';
import { byId, copy, h, set, setText } from './dom.js';

/** @typedef {import('../state/state.js').State} State */
/** @typedef {import('../session/fields.js').Field} Field */
/** @typedef {import('../wire.js').Session} Session */

/** A slider that is dragged sends this often. */
const SLIDER_WAIT_MS = 120;

/**
 * The session's settings. What a control shows is what the server echoed; what it was told last is marked until then.
 * @param {(patch: Record<string, any>) => void} update
 */
export function session(update) {
  /** @type {Session | null} */
  let current = null;
  const controls = FIELDS.map((field) => control(field, (value) => current && update(field.patch(value, current))));
  const form = byId('fields');
  GROUPS.forEach((group, index) => {
    const inside = controls.filter(({ field }) => field.group === group).map(({ element }) => element);
    form.append(h('details', { class: 'group', open: index < 2 }, h('summary', {}, group), ...inside));
  });
  presets(update);
  byId('session-copy').addEventListener('click', () => void copy(byId('session-json').textContent ?? '', byId('session-copy')));

  return (/** @type {State} */ { configuration }) => {
    const { session: echoed, pending, refused } = configuration;
    if (!echoed) return;
    const waiting = new Set(pending.flatMap(({ patch }) => paths(patch)));
    const wrong = new Set(refused ? paths(refused.patch) : []);
    const isNew = current !== echoed;
    current = echoed;
    for (const each of controls) {
      const isWrong = touches(wrong, each.field.id);
      each.show(echoed, touches(waiting, each.field.id), isWrong && refused ? refused.message : '');
    }
    if (isNew) setText(byId('session-json'), JSON.stringify(echoed, null, 2));
  };
}

/**
 * Does one of these changes concern this field: the field itself, a part of it, or something that it is a part of?
 * @param {Set<string>} changed
 * @param {string} id
 */
function touches(changed, id) {
  return [...changed].some((path) => path === id || path.startsWith(`${id}.`) || id.startsWith(`${path}.`));
}

/** @param {(patch: Record<string, any>) => void} update */
function presets(update) {
  const buttons = PRESETS.map(({ name, patch }) => h('button', { type: 'button', class: 'chip', onclick: () => update(patch) }, name));
  byId('presets').append(...buttons);
}

/**
 * @param {Field} field
 * @param {(value: any) => void} apply
 */
function control(field, apply) {
  const id = `field-${field.id.replaceAll('.', '-')}`;
  const input = inputOf(field, id);
  const value = h('output', { for: id });
  const note = h('small', { id: `${id}-note` });
  const label = h('label', { for: id }, field.label);
  const element = h('div', { class: `field ${field.kind}` }, label, value, input.element, input.list ?? null, note);
  /** What was echoed or sent last: anything else in a control that has the focus is being written. */
  let settled = /** @type {any} */ (undefined);
  /** Of a slider that was moved and has not been sent yet; 0: none. */
  let timer = 0;

  const send = () => {
    timer = 0;
    settled = input.read();
    apply(settled);
  };
  if (field.kind === 'slider') {
    input.element.addEventListener('input', () => {
      clearTimeout(timer);
      setText(value, withUnit(field, input.read()));
      timer = setTimeout(send, SLIDER_WAIT_MS);
    });
  } else {
    input.element.addEventListener('change', send);
  }
  set(input.element, { 'aria-describedby': `${id}-note` });

  /**
   * @param {Session} session
   * @param {boolean} isPending
   * @param {string} problem
   */
  function show(session, isPending, problem) {
    element.hidden = field.when ? !field.when(session) : false;
    const echoed = field.get(session);
    const isBeingWritten = timer !== 0 || (document.activeElement === input.element && input.read() !== settled);
    if (!isPending && !isBeingWritten) {
      if (input.read() !== echoed) input.write(echoed);
      settled = echoed;
      setText(value, withUnit(field, echoed));
    }
    element.classList.toggle('pending', isPending);
    element.classList.toggle('refused', problem !== '');
    setText(note, problem || field.hint || '');
  }
  return { field, element, show };
}

/**
 * @param {Field} field
 * @param {any} value
 */
function withUnit(field, value) {
  if (field.kind !== 'slider') return '';
  return `${field.unit === 'ms' ? value : Number(value).toFixed(2)} ${field.unit ?? ''}`;
}

/**
 * @param {Field} field
 * @param {string} id
 * @returns {{element: HTMLElement, list?: HTMLElement, read: () => any, write: (value: any) => void}}
 */
function inputOf(field, id) {
  const { kind, min, max, step, options = [] } = field;
  if (kind === 'select') {
    const element = h('select', { id }, ...options.map(([value, label]) => h('option', { value }, label)));
    return { element, read: () => element.value, write: (value) => void (element.value = value) };
  }
  if (kind === 'text') {
    const element = h('textarea', { id, rows: 4, spellcheck: true });
    return { element, read: () => element.value, write: (value) => void (element.value = value) };
  }
  if (kind === 'switch') {
    const element = h('input', { id, type: 'checkbox', role: 'switch' });
    return { element, read: () => element.checked, write: (value) => void (element.checked = value) };
  }
  const type = kind === 'slider' ? 'range' : kind === 'number' ? 'number' : 'text';
  const element = h('input', { id, type, ...(min !== undefined && { min, max, step }), autocomplete: 'off' });
  const read = () => (kind === 'slider' ? Number(element.value) : element.value);
  const write = (/** @type {any} */ value) => void (element.value = String(value));
  if (kind !== 'suggest') return { element, read, write };
  const list = h('datalist', { id: `${id}-options` }, ...options.map(([value]) => h('option', { value })));
  element.setAttribute('list', list.id);
  return { element, list, read, write };
}
