// @ts-check
import { exported, found, isProblem } from '../state/log.js';
import { byId, copy, download, h, keyed, setText } from './dom.js';

/** @typedef {import('../state/state.js').State} State */
/** @typedef {import('../state/log.js').Row} Row */
/** @typedef {{row: Row, index: number, began: number}} Place Where a row stands in the list. */

const ROW_PX = 26;
const SPARE_ROWS = 6;

/**
 * The event log. Only the rows that can be seen are in the page, however long the log is.
 * @param {(action: import('../state/state.js').Action) => void} dispatch
 */
export function log(dispatch) {
  return new LogView(dispatch).update;
}

class LogView {
  #list = byId('log');
  #space = byId('log-space');
  #from = /** @type {HTMLSelectElement} */ (byId('log-from'));
  #search = /** @type {HTMLInputElement} */ (byId('log-search'));
  #pause = byId('log-pause');
  #detail = byId('log-detail');
  #json = byId('log-json');
  /** @type {State | null} */
  #state = null;
  /** @type {Row[]} */
  #rows = [];
  #selected = 0;
  #follows = true;
  #drawing = 0;

  /** @param {(action: import('../state/state.js').Action) => void} dispatch */
  constructor(dispatch) {
    this.#list.addEventListener('scroll', () => this.#scrolled());
    this.#list.addEventListener('keydown', (event) => this.#key(event));
    this.#list.addEventListener('click', (event) => {
      const row = /** @type {HTMLElement} */ (event.target).closest('[data-n]');
      if (row) this.#select(Number(/** @type {HTMLElement} */ (row).dataset.n));
    });
    for (const control of [this.#from, this.#search]) control.addEventListener('input', () => this.#draw());
    this.#pause.addEventListener('click', () => dispatch({ kind: 'log-paused', paused: !this.#state?.log.paused }));
    byId('log-clear').addEventListener('click', () => dispatch({ kind: 'log-cleared' }));
    byId('log-export').addEventListener('click', () => this.#export());
    byId('log-copy').addEventListener('click', () => void copy(this.#json.textContent ?? '', byId('log-copy')));
    byId('log-close').addEventListener('click', () => this.#select(0));
    new ResizeObserver(() => this.#draw()).observe(this.#list);
  }

  update = (/** @type {State} */ state) => {
    const isSame = this.#state?.log === state.log;
    this.#state = state;
    if (!isSame) this.#draw();
  };

  #draw() {
    cancelAnimationFrame(this.#drawing);
    this.#drawing = requestAnimationFrame(() => this.#drawNow());
  }

  #drawNow() {
    if (!this.#state) return;
    const { log } = this.#state;
    this.#rows = found(log.rows, { from: this.#from.value, search: this.#search.value });
    this.#space.style.height = `${this.#rows.length * ROW_PX}px`;
    if (this.#follows) this.#list.scrollTop = this.#list.scrollHeight;
    const first = Math.max(0, Math.floor(this.#list.scrollTop / ROW_PX) - SPARE_ROWS);
    const count = Math.ceil(this.#list.clientHeight / ROW_PX) + 2 * SPARE_ROWS;
    const began = log.rows[0]?.at ?? 0;
    const seen = this.#rows.slice(first, first + count).map((row, n) => ({ row, index: first + n, began }));
    keyed(this.#space, seen, ({ row }) => String(row.n), (place) => this.#rowView(place));
    setText(this.#pause, log.paused ? `Go on (${log.missed} missed)` : 'Pause');
    const dropped = log.dropped ? `, ${log.dropped} older dropped` : '';
    setText(byId('log-count'), `${this.#rows.length} of ${log.rows.length} rows${dropped}`);
  }

  /**
   * A row stays the same element while it can be seen: a click is lost on one that is replaced.
   * @param {Place} first
   */
  #rowView({ row: { n, from, type } }) {
    const [time, count, detail] = [h('span', { class: 'time' }), h('span', { class: 'count' }), h('span', { class: 'detail' })];
    const way = h('span', { class: 'way', 'aria-label': from }, from === 'client' ? '↑' : '↓');
    const parts = [time, way, h('span', { class: 'type' }, type), count, detail];
    const element = h('div', { role: 'option', id: `log-${n}`, 'data-n': n, class: `row ${from}` }, ...parts);
    const update = (/** @type {Place} */ { row, index, began }) => {
      setText(time, ((row.at - began) / 1000).toFixed(3));
      setText(count, row.count > 1 ? `×${row.count}` : '');
      setText(detail, row.bytes ? kilobytes(row.bytes) : row.detail);
      element.setAttribute('aria-selected', String(n === this.#selected));
      element.classList.toggle('problem', isProblem(row));
      element.style.top = `${index * ROW_PX}px`;
    };
    return { element, update };
  }

  #scrolled() {
    this.#follows = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < ROW_PX;
    this.#draw();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const steps = /** @type {Record<string, number>} */ ({ ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity });
    const step = steps[event.key];
    if (event.key === 'Escape') this.#select(0);
    if (step === undefined || this.#rows.length === 0) return;
    event.preventDefault();
    const now = this.#rows.findIndex((row) => row.n === this.#selected);
    const index = Math.min(this.#rows.length - 1, Math.max(0, (now < 0 ? this.#rows.length - 1 : now) + step));
    this.#select(this.#rows[index].n);
    const top = index * ROW_PX;
    const { scrollTop, clientHeight } = this.#list;
    if (top < scrollTop) this.#list.scrollTop = top;
    if (top + ROW_PX > scrollTop + clientHeight) this.#list.scrollTop = top + ROW_PX - clientHeight;
  }

  /** @param {number} n 0 selects nothing. */
  #select(n) {
    this.#selected = n;
    const row = this.#state?.log.rows.find((known) => known.n === n);
    this.#detail.hidden = !row;
    if (row) {
      this.#follows = false;
      this.#list.setAttribute('aria-activedescendant', `log-${n}`);
      setText(byId('log-title'), row.type);
      setText(this.#json, told(row));
    }
    this.#draw();
  }

  #export() {
    if (!this.#state) return;
    const { log, connection, configuration } = this.#state;
    const began = new Date(performance.timeOrigin).toISOString();
    const about = { url: location.origin, began, version: connection.version };
    download(`${configuration.session?.id ?? 'session'}.jsonl`, exported(log, about), 'application/jsonl');
  }
}

/** @param {Row} row */
function told(row) {
  const json = JSON.stringify(row.event, null, 2);
  if (row.count === 1) return json;
  const joined = row.text ? `\n\n// together:\n${row.text}` : `\n\n// together: ${kilobytes(row.bytes)} of audio`;
  return `// the first of ${row.count}, over ${Math.round(row.until - row.at)} ms\n${json}${joined}`;
}

/** @param {number} bytes */
function kilobytes(bytes) {
  return bytes < 10_000 ? `${bytes} bytes` : `${(bytes / 1000).toFixed(0)} kB`;
}
