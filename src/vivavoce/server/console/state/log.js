// @ts-check
/**
 * The event log: what went over the wire, both ways, in rows that do not grow without bound.
 *
 * The pieces of one thing (the deltas of an item, the chunks of input audio between two events that matter) are one row,
 * where they began. Audio is shortened to its length. The oldest rows are dropped, and counted.
 *
 * @typedef {import('../wire.js').ServerEvent} ServerEvent
 * @typedef {import('../wire.js').ClientEvent} ClientEvent
 * @typedef {object} Row
 * @property {number} n Counts up; a row keeps it.
 * @property {'client' | 'server'} from
 * @property {string} type
 * @property {string} detail One line for people.
 * @property {Record<string, any>} event As it was, audio shortened; of several, the first.
 * @property {string} text What the deltas say together.
 * @property {number} count
 * @property {number} bytes Of audio.
 * @property {number} at
 * @property {number} until
 *
 * @typedef {object} Log
 * @property {Row[]} rows
 * @property {number} next The next row's number.
 * @property {number} dropped
 * @property {boolean} paused
 * @property {number} missed Events since the pause.
 * @property {Record<string, number>} open Row numbers of what can still grow, by key.
 */

import { base64Bytes } from './audio_length.js';

export const MAX_ROWS = 4000;
const MAX_JOINED = 20_000;
/** Rows of finished things need no entry in `open`; this is a bound, not a rule. */
const MAX_OPEN = 64;
const APPEND = 'input_audio_buffer.append';

/** @returns {Log} */
export function emptyLog() {
  return { rows: [], next: 1, dropped: 0, paused: false, missed: 0, open: {} };
}

/**
 * @param {Log} log
 * @param {boolean} paused
 * @returns {Log}
 */
export function pausedLog(log, paused) {
  return { ...log, paused, missed: paused ? 0 : log.missed };
}

/**
 * @param {Log} log
 * @returns {Log}
 */
export function clearedLog(log) {
  return { ...emptyLog(), next: log.next, paused: log.paused };
}

/**
 * @param {Log} log
 * @param {{kind: 'sent', event: ClientEvent, at: number} | {kind: 'received', event: ServerEvent, at: number}} action
 * @returns {Log}
 */
export function logAfter(log, action) {
  if (log.paused) return { ...log, missed: log.missed + 1 };
  const from = action.kind === 'sent' ? 'client' : 'server';
  const event = /** @type {Record<string, any>} */ (action.event);
  const key = pieceKey(event);
  const index = key ? rowIndex(log, log.open[key]) : -1;
  return index < 0 ? withRow(log, from, event, key, action.at) : withPiece(log, index, event, action.at);
}

/**
 * What an event is a piece of.
 * @param {Record<string, any>} event
 */
function pieceKey(event) {
  if (event.type === APPEND) return APPEND;
  return event.type.endsWith('.delta') ? `${event.type} ${event.item_id}` : '';
}

/**
 * @param {Log} log
 * @param {number | undefined} n
 */
function rowIndex(log, n) {
  const first = log.rows[0]?.n;
  return n === undefined || first === undefined || n < first ? -1 : n - first;
}

/**
 * @param {Log} log
 * @param {'client' | 'server'} from
 * @param {Record<string, any>} event
 * @param {string} key
 * @param {number} at
 * @returns {Log}
 */
function withRow(log, from, event, key, at) {
  const { text, bytes } = piece(event);
  const short = shortened(event);
  const row = { n: log.next, from, type: event.type, detail: detailOf(short), event: short, text, count: 1, bytes, at, until: at };
  const dropped = log.rows.length >= MAX_ROWS ? MAX_ROWS / 10 : 0;
  const rows = [...(dropped ? log.rows.slice(dropped) : log.rows), row];
  return { ...log, rows, next: log.next + 1, dropped: log.dropped + dropped, open: opened(log.open, key, row.n) };
}

/**
 * An event that matters ends the input audio's row: what is said after it is another row. Deltas end nothing.
 * @param {Record<string, number>} open
 * @param {string} key
 * @param {number} n
 */
function opened(open, key, n) {
  const { [APPEND]: append, ...rest } = open;
  const isDelta = key !== '' && key !== APPEND;
  const kept = Object.entries(rest).slice(-MAX_OPEN);
  if (append !== undefined && isDelta) kept.push([APPEND, append]);
  if (key) kept.push([key, n]);
  return Object.fromEntries(kept);
}

/**
 * @param {Log} log
 * @param {number} index
 * @param {Record<string, any>} event
 * @param {number} at
 * @returns {Log}
 */
function withPiece(log, index, event, at) {
  const row = log.rows[index];
  const { text, bytes } = piece(event);
  const joined = row.text.length < MAX_JOINED ? row.text + text : row.text;
  const grown = { ...row, text: joined, detail: joined || row.detail, count: row.count + 1, bytes: row.bytes + bytes, until: at };
  return { ...log, rows: log.rows.with(index, grown) };
}

/** @param {Record<string, any>} event */
function piece(event) {
  if (event.type === APPEND) return { text: '', bytes: base64Bytes(event.audio) };
  if (event.type === 'response.output_audio.delta') return { text: '', bytes: base64Bytes(event.delta) };
  return { text: event.type.endsWith('.delta') ? String(event.delta ?? '') : '', bytes: 0 };
}

/**
 * The event with audio and pictures cut to their length.
 * @param {any} value
 * @param {string} [key]
 * @param {string} [type]
 * @returns {any}
 */
export function shortened(value, key = '', type = value?.type ?? '') {
  if (typeof value === 'string') {
    const isAudio = key === 'audio' || (key === 'delta' && type === 'response.output_audio.delta');
    if (isAudio) return `${base64Bytes(value)} bytes`;
    return key === 'image_url' && value.length > 200 ? `${value.slice(0, 60)}… (${value.length} characters)` : value;
  }
  if (Array.isArray(value)) return value.map((inner) => shortened(inner, key, type));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, shortened(inner, name, type)]));
}

/**
 * What matters in an event, in one line.
 * @param {Record<string, any>} event
 * @returns {string}
 */
export function detailOf(event) {
  if (event.error) return event.error.message ?? '';
  if (event.response) return responseDetail(event.response);
  if (event.item) return itemDetail(event.item);
  if (event.name && event.arguments !== undefined) return `${event.name}(${event.arguments})`;
  if (event.type === 'session.update') return JSON.stringify({ ...event.session, type: undefined });
  for (const key of ['delta', 'text', 'transcript']) if (event[key] && !isLength(event[key])) return event[key];
  const times = ['audio_start_ms', 'audio_end_ms'].filter((key) => key in event).map((key) => `${key} ${event[key]}`);
  return times.join(', ');
}

/** @param {string} text */
function isLength(text) {
  return /^\d+ bytes$/.test(text);
}

/** @param {Record<string, any>} response */
function responseDetail({ status, status_details: details, usage, instructions }) {
  const why = details?.error?.message ?? details?.reason;
  const tokens = usage?.total_tokens ? `${usage.total_tokens} tokens` : '';
  return [status, why && `(${why})`, tokens, instructions].filter(Boolean).join(' ');
}

/** @param {Record<string, any>} item */
function itemDetail(item) {
  if (item.type === 'function_call') return `${item.name}(${item.arguments ?? ''})`;
  const words = (item.content ?? []).map((/** @type {any} */ part) => part.text ?? part.transcript ?? '');
  return [item.role ?? item.type, words.filter(Boolean).join(' ') || item.output].filter(Boolean).join(' ');
}

/**
 * Rows that a person looks for.
 * @param {Row[]} rows
 * @param {{from: string, search: string}} wanted `from` is `client`, `server`, `errors` or empty for all.
 */
export function found(rows, { from, search }) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  if (!from && words.length === 0) return rows;
  return rows.filter((row) => {
    if (from === 'errors' ? !isProblem(row) : from && row.from !== from) return false;
    const text = words.length ? `${row.type} ${row.detail} ${JSON.stringify(row.event)}`.toLowerCase() : '';
    return words.every((word) => text.includes(word));
  });
}

/** @param {Row} row */
export function isProblem(row) {
  return row.type === 'error' || row.type.endsWith('.failed') || row.event.response?.status === 'failed';
}

/**
 * The log as JSON lines, a head and a line for each row: what `vivavoce replay` reads.
 * @param {Log} log
 * @param {{url: string, began: string, version: string}} about `began` is the wall clock's time at 0 of the page's clock.
 */
export function exported(log, { url, began, version }) {
  const head = { version, log: { client: 'console', url, began, dropped: log.dropped } };
  const lines = log.rows.map(({ at, until, from, event, text, count, bytes }) => {
    const several = count > 1 ? { count, until: seconds(until), ...(text && { text }) } : {};
    return { now: seconds(at), from, event, ...several, ...(bytes && { bytes }) };
  });
  return [head, ...lines].map((line) => JSON.stringify(line)).join('\n') + '\n';
}

/** @param {number} ms */
function seconds(ms) {
  return Math.round(ms) / 1000;
}
