// @ts-check
/**
 * When things happened in each turn: what the time lines are drawn from.
 *
 * A turn is one response with what led to it. Until the response is created, the turn stands in `open`.
 *
 * @typedef {object} Turn Every time is on the page's clock; `null` is "not yet", or "not in this turn".
 * @property {string} responseId
 * @property {string} userItemId
 * @property {number | null} speechStart
 * @property {number | null} speechEnd Where the voice ended: before the silence that told so.
 * @property {number | null} stopped `speech_stopped` came, or the button was let go.
 * @property {number | null} asked A `response.create` was sent, for what was typed or a function's output.
 * @property {number | null} transcribed The user's words were complete.
 * @property {number | null} created
 * @property {number | null} firstText
 * @property {number | null} firstAudio
 * @property {number | null} playStart
 * @property {number | null} playEnd
 * @property {number | null} interrupted
 * @property {number | null} done
 * @property {number} audioMs Audio handed to the loudspeaker.
 * @property {string} status
 *
 * @typedef {object} Turns
 * @property {Turn[]} list
 * @property {Turn} open
 * @property {import('./audio_clock.js').AudioClock} clock
 * @property {import('../wire.js').AudioFormat | undefined} inputFormat
 * @property {number} silenceMs How long a silence the server waits for, if it says so.
 * @property {Record<string, string>} responseOf Item -> response, for the items that can still be heard.
 */

import { SILENT, advanced, timeOf } from './audio_clock.js';
import { base64Bytes, msOf } from './audio_length.js';

/** @typedef {import('../wire.js').ServerEvent} ServerEvent */

export const MAX_TURNS = 150;
/** How many items back the loudspeaker may still be. */
const MAX_HEARD = 64;

/** @returns {Turns} */
export function emptyTurns() {
  return { list: [], open: blank(), clock: SILENT, inputFormat: undefined, silenceMs: 0, responseOf: {} };
}

/** @returns {Turn} */
function blank() {
  const never = { speechStart: null, speechEnd: null, stopped: null, asked: null, transcribed: null, created: null };
  const nor = { firstText: null, firstAudio: null, playStart: null, playEnd: null, interrupted: null, done: null };
  return { responseId: '', userItemId: '', ...never, ...nor, audioMs: 0, status: '' };
}

/**
 * @param {Turns} turns
 * @param {import('./state.js').Action} action
 * @returns {Turns}
 */
export function turnsAfter(turns, action) {
  switch (action.kind) {
    case 'opened':
      return { ...emptyTurns(), list: turns.list };
    case 'sent':
      return afterSent(turns, action.event, action.at);
    case 'received':
      return afterEvent(turns, action.event, action.at);
    case 'queued':
      return withItem(turns, action.itemId, (turn) => ({ audioMs: turn.audioMs + action.ms }));
    case 'played':
      return withItem(turns, action.itemId, (turn) => ({
        playStart: turn.playStart ?? action.at - action.ms,
        playEnd: action.ended ? action.at : turn.playEnd,
      }));
    case 'cut':
      return action.heard.reduce((all, { itemId, ms }) => (ms > 0 ? interrupted(all, itemId, action.at) : all), turns);
    default:
      return turns;
  }
}

/**
 * @param {Turns} turns
 * @param {string} itemId
 * @param {number} at
 */
function interrupted(turns, itemId, at) {
  return withItem(turns, itemId, () => ({ interrupted: at, playEnd: at }));
}

/**
 * @param {Turns} turns
 * @param {import('../wire.js').ClientEvent} event
 * @param {number} at
 * @returns {Turns}
 */
function afterSent(turns, event, at) {
  switch (event.type) {
    case 'input_audio_buffer.append':
      return { ...turns, clock: advanced(turns.clock, msOf(base64Bytes(event.audio), turns.inputFormat), at) };
    case 'input_audio_buffer.commit':
      return { ...turns, open: { ...turns.open, speechEnd: at, stopped: at } };
    case 'response.create':
      return { ...turns, open: { ...turns.open, asked: at } };
    default:
      return turns;
  }
}

/**
 * @param {Turns} turns
 * @param {ServerEvent} event
 * @param {number} at
 * @returns {Turns}
 */
function afterEvent(turns, event, at) {
  switch (event.type) {
    case 'session.created':
    case 'session.updated':
      return { ...turns, ...listening(event.session) };
    case 'input_audio_buffer.speech_started': {
      const speechStart = timeOf(turns.clock, event.audio_start_ms) ?? at;
      return { ...turns, open: { ...blank(), userItemId: event.item_id, speechStart } };
    }
    case 'input_audio_buffer.speech_stopped': {
      const end = timeOf(turns.clock, event.audio_end_ms - turns.silenceMs) ?? at;
      return { ...turns, open: { ...turns.open, speechEnd: end, stopped: at } };
    }
    case 'input_audio_buffer.committed':
      return { ...turns, open: { ...turns.open, userItemId: event.item_id } };
    case 'conversation.item.input_audio_transcription.completed':
      return withUserItem(turns, event.item_id, { transcribed: at });
    default:
      return afterAnswer(turns, event, at);
  }
}

/**
 * The part of `afterEvent` that is about responses.
 * @param {Turns} turns
 * @param {ServerEvent} event
 * @param {number} at
 * @returns {Turns}
 */
function afterAnswer(turns, event, at) {
  switch (event.type) {
    case 'response.created': {
      const turn = { ...turns.open, responseId: event.response.id, created: at, status: 'in_progress' };
      return { ...turns, open: blank(), list: [...turns.list, turn].slice(-MAX_TURNS) };
    }
    case 'response.output_item.added':
      return { ...turns, responseOf: withLast(turns.responseOf, event.item.id, event.response_id) };
    case 'response.output_text.delta':
    case 'response.output_audio_transcript.delta':
    case 'response.function_call_arguments.delta':
      return withTurn(turns, event.response_id, (turn) => (turn.firstText === null ? { firstText: at } : {}));
    case 'response.output_audio.delta':
      return withTurn(turns, event.response_id, (turn) => (turn.firstAudio === null ? { firstAudio: at } : {}));
    case 'response.done':
      return withTurn(turns, event.response.id, () => ({ done: at, status: event.response.status }));
    default:
      return turns;
  }
}

/** @param {import('../wire.js').Session} session */
function listening(session) {
  const { format, turn_detection: detection } = session.audio.input;
  return { inputFormat: format, silenceMs: detection?.type === 'server_vad' ? detection.silence_duration_ms : 0 };
}

/**
 * @param {Record<string, string>} table
 * @param {string} key
 * @param {string} value
 */
function withLast(table, key, value) {
  return Object.fromEntries([...Object.entries(table).slice(-MAX_HEARD), [key, value]]);
}

/**
 * @param {Turns} turns
 * @param {string} responseId
 * @param {(turn: Turn) => Partial<Turn>} change
 * @returns {Turns}
 */
function withTurn(turns, responseId, change) {
  const index = turns.list.findLastIndex((turn) => turn.responseId === responseId);
  if (index < 0) return turns;
  const turn = turns.list[index];
  const changes = change(turn);
  if (Object.keys(changes).length === 0) return turns;
  return { ...turns, list: turns.list.with(index, { ...turn, ...changes }) };
}

/**
 * @param {Turns} turns
 * @param {string} itemId
 * @param {(turn: Turn) => Partial<Turn>} change
 */
function withItem(turns, itemId, change) {
  return withTurn(turns, turns.responseOf[itemId] ?? '', change);
}

/**
 * @param {Turns} turns
 * @param {string} itemId
 * @param {Partial<Turn>} change
 * @returns {Turns}
 */
function withUserItem(turns, itemId, change) {
  if (turns.open.userItemId === itemId) return { ...turns, open: { ...turns.open, ...change } };
  const index = turns.list.findLastIndex((turn) => turn.userItemId === itemId);
  return index < 0 ? turns : { ...turns, list: turns.list.with(index, { ...turns.list[index], ...change }) };
}
