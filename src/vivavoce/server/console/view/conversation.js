// @ts-check
import { spokenLength } from '../state/conversation.js';
import { PAGE_TOOLS } from '../tools/page_tools.js';
import { byId, h, keyed, setText } from './dom.js';
import { timelineView } from './timeline.js';

/** @typedef {import('../state/state.js').State} State */
/** @typedef {import('../state/conversation.js').Item} Item */
/** @typedef {import('../state/turns.js').Turn} Turn */
/** @typedef {{item: Item, turn: Turn | null}} Row */

/** How many of the newest items are in the page; the rest comes when it is asked for. */
const SHOWN = 60;
const BY_PAGE = new Set(PAGE_TOOLS.map(({ tool }) => tool.name));
const WHO = { user: 'You', assistant: 'Assistant', system: 'System' };

/**
 * The conversation as it grows. An answer carries its time line.
 * @param {(callId: string, output: string) => void} answerCall
 */
export function conversation(answerCall) {
  const list = byId('conversation');
  const earlier = byId('earlier');
  const scroller = byId('scroller');
  let most = SHOWN;
  /** @type {Row[]} */
  let rows = [];
  /** @type {State | null} */
  let last = null;
  earlier.addEventListener('click', () => {
    most += SHOWN;
    if (last) draw(last);
  });

  /** @param {State} state */
  function draw(state) {
    const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 80;
    const items = state.items.filter((item) => item.kind !== 'output' || item.text);
    rows = rowsOf(items.slice(-most), state.turns.list, rows);
    byId('welcome').hidden = items.length > 0;
    earlier.hidden = items.length <= most;
    keyed(list, rows, ({ item }) => item.id, (row) => rowView(row, answerCall));
    if (atEnd) scroller.scrollTop = scroller.scrollHeight;
  }

  return (/** @type {State} */ state) => {
    if (last && last.items === state.items && last.turns.list === state.turns.list) return;
    last = state;
    draw(state);
  };
}

/**
 * Items with the time line of their response, at its last item. Rows that did not change are the old ones.
 * @param {Item[]} items
 * @param {Turn[]} turns
 * @param {Row[]} before
 */
function rowsOf(items, turns, before) {
  const lastOf = new Map(items.filter((item) => item.responseId).map((item) => [item.responseId, item]));
  const turnOf = new Map(turns.map((turn) => [turn.responseId, turn]));
  const known = new Map(before.map((row) => [row.item, row]));
  return items.map((item) => {
    const turn = (lastOf.get(item.responseId) === item && turnOf.get(item.responseId)) || null;
    const old = known.get(item);
    return old && old.turn === turn ? old : { item, turn };
  });
}

/**
 * @param {Row} row
 * @param {(callId: string, output: string) => void} answerCall
 */
function rowView(row, answerCall) {
  const { element, update } = row.item.kind === 'call' ? callView(row.item, answerCall) : itemView(row.item);
  /** @type {ReturnType<typeof timelineView> | null} */
  let timeline = null;
  return {
    element,
    update: (/** @type {Row} */ { item, turn }) => {
      update(item);
      if (turn && !timeline) {
        timeline = timelineView();
        element.append(timeline.element);
      }
      timeline?.update(turn);
    },
  };
}

/**
 * @param {Item} first
 * @returns {{element: HTMLElement, update: (item: Item) => void}}
 */
function itemView(first) {
  const said = h('span', { class: 'said' });
  const ahead = h('span', { class: 'ahead' });
  const mark = h('span', { class: 'mark' });
  const who = first.kind === 'message' ? h('span', { class: 'who' }, WHO[first.role]) : null;
  const element = h('li', { class: `item ${first.kind} ${first.role}` }, who, h('p', {}, said, ahead, mark));
  return {
    element,
    update: (item) => {
      const length = spokenLength(item);
      setText(said, item.kind === 'output' ? `→ ${item.text}` : item.text.slice(0, length));
      setText(ahead, item.kind === 'output' ? '' : item.text.slice(length));
      setText(mark, markOf(item));
      element.classList.toggle('cut', item.cut);
      element.classList.toggle('growing', item.status === 'listening' || (item.status === 'in_progress' && !item.text));
    },
  };
}

/** @param {Item} item */
function markOf(item) {
  if (item.cut) return ` heard for ${(item.heardMs / 1000).toFixed(2)} s`;
  if (item.status === 'incomplete' && item.kind === 'message') return ' broken off';
  return item.status === 'completed' && !item.text && item.kind === 'message' ? '(spoken)' : '';
}

/**
 * A function call. One that the page does not carry out itself is answered by hand.
 * @param {Item} first
 * @param {(callId: string, output: string) => void} answerCall
 * @returns {{element: HTMLElement, update: (item: Item) => void}}
 */
function callView(first, answerCall) {
  const text = h('code');
  const form = BY_PAGE.has(first.name) ? null : answerForm(first, answerCall);
  return {
    element: h('li', { class: 'item call' }, h('p', {}, text), form),
    update: (item) => {
      setText(text, `${item.name}(${item.text})`);
      if (form) form.hidden = item.status !== 'completed' || form.dataset.sent === 'true';
    },
  };
}

/**
 * @param {Item} call
 * @param {(callId: string, output: string) => void} answerCall
 */
function answerForm({ name, callId }, answerCall) {
  const output = h('input', { placeholder: 'Its output, such as {"ok": true}', 'aria-label': `Output of ${name}` });
  const form = h('form', { class: 'by-hand', hidden: true }, output, h('button', {}, 'Answer'));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    form.dataset.sent = 'true';
    form.hidden = true;
    answerCall(callId, output.value);
  });
  return form;
}
