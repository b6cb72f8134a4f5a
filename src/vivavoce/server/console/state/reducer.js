// @ts-check
/** @typedef {import('./state.js').State} State */
/** @typedef {import('./state.js').Action} Action */

import { accountsAfter } from './accounts.js';
import { configurationAfter } from './configuration.js';
import { itemsAfter } from './conversation.js';
import { clearedLog, logAfter, pausedLog } from './log.js';
import { turnsAfter } from './turns.js';

const MAX_NOTICES = 4;

/**
 * The state after an action. Pure: the same state and action give the same result, and neither is changed.
 * @param {State} state
 * @param {Action} action
 * @returns {State}
 */
export function reduce(state, action) {
  switch (action.kind) {
    case 'received':
    case 'sent':
      return withEvent(state, action);
    case 'opened':
      return { ...afterAll(state, action), accounts: { ...state.accounts, limits: [] } };
    case 'queued':
    case 'played':
    case 'cut':
      return afterAll(state, action);
    case 'connection':
      return { ...state, connection: { ...state.connection, ...action.change } };
    case 'microphone':
      return { ...state, microphone: { ...state.microphone, ...action.change } };
    case 'page':
      return { ...state, page: { ...state.page, ...action.change } };
    case 'notice':
      return withNotice(state, action.text);
    case 'dismiss':
      return { ...state, notices: state.notices.filter((notice) => notice.id !== action.id) };
    case 'log-paused':
      return { ...state, log: pausedLog(state.log, action.paused) };
    case 'log-cleared':
      return { ...state, log: clearedLog(state.log) };
  }
}

/**
 * @param {State} state
 * @param {Extract<Action, {kind: 'received' | 'sent'}>} action
 */
function withEvent(state, action) {
  const next = { ...afterAll(state, action), log: logAfter(state.log, action) };
  if (action.kind === 'received' && action.event.type === 'error') return withNotice(next, action.event.error.message);
  return next;
}

/**
 * Every part looks at every action, and returns itself where nothing concerns it.
 * @param {State} state
 * @param {Action} action
 * @returns {State}
 */
function afterAll(state, action) {
  return {
    ...state,
    configuration: configurationAfter(state.configuration, action),
    items: itemsAfter(state.items, action),
    turns: turnsAfter(state.turns, action),
    accounts: accountsAfter(state.accounts, action),
  };
}

/**
 * @param {State} state
 * @param {string} text
 */
function withNotice(state, text) {
  const last = state.notices.at(-1);
  if (last?.text === text) return state;
  return { ...state, notices: [...state.notices, { id: (last?.id ?? 0) + 1, text }].slice(-MAX_NOTICES) };
}
