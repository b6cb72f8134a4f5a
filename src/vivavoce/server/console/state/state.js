// @ts-check
/**
 * What the console knows, and what can happen to it. Everything that is drawn is drawn from here.
 *
 * Times named `at` are milliseconds of the page's own clock (`performance.now()`); they come in with each action, because
 * nothing in this folder reads a clock. Audio positions are milliseconds of audio and say so.
 *
 * @typedef {import('../wire.js').ServerEvent} ServerEvent
 * @typedef {import('../wire.js').ClientEvent} ClientEvent
 * @typedef {import('../wire.js').Session} Session
 * @typedef {import('../wire.js').RateLimit} RateLimit
 * @typedef {import('./conversation.js').Item} Item
 * @typedef {import('./turns.js').Turns} Turns
 * @typedef {import('./log.js').Log} Log
 * @typedef {import('./accounts.js').Accounts} Accounts
 * @typedef {import('./configuration.js').Configuration} Configuration
 *
 * @typedef {object} Connection
 * @property {'closed' | 'locked' | 'connecting' | 'open' | 'reconnecting' | 'ended'} status
 *   `locked`: the server wants a key. `ended`: the session reached its maximum duration.
 * @property {string} reason Why it is not open, for people.
 * @property {number | null} roundTripMs
 * @property {string[]} models
 * @property {string} version The server's.
 *
 * @typedef {object} Microphone
 * @property {'off' | 'asking' | 'on' | 'failed'} status
 * @property {string} source The recording that is heard in place of a device, if there is one.
 * @property {string} problem Why it failed, for people.
 * @property {boolean} held Push-to-talk: the button is down.
 *
 * @typedef {{id: number, text: string}} Notice
 * @typedef {{name: string, endsAt: number, seconds: number}} Timer
 * @typedef {{memory: [string, string][], weather: import('../tools/weather.js').Weather | null, timers: Timer[]}} Page
 *
 * @typedef {object} State
 * @property {Connection} connection
 * @property {Microphone} microphone
 * @property {Configuration} configuration
 * @property {Item[]} items
 * @property {Turns} turns
 * @property {Log} log
 * @property {Accounts} accounts
 * @property {Page} page What the three tools of the page show.
 * @property {Notice[]} notices
 *
 * @typedef {{itemId: string, ms: number}} Heard
 * @typedef {{kind: 'received', event: ServerEvent, at: number}
 *   | {kind: 'sent', event: ClientEvent, at: number}
 *   | {kind: 'opened', at: number}
 *   | {kind: 'connection', change: Partial<Connection>}
 *   | {kind: 'microphone', change: Partial<Microphone>}
 *   | {kind: 'queued', itemId: string, ms: number}
 *   | {kind: 'played', itemId: string, ms: number, ended: boolean, at: number}
 *   | {kind: 'cut', heard: Heard[], at: number}
 *   | {kind: 'page', change: Partial<Page>}
 *   | {kind: 'notice', text: string}
 *   | {kind: 'dismiss', id: number}
 *   | {kind: 'log-paused', paused: boolean}
 *   | {kind: 'log-cleared'}} Action
 */

import { emptyAccounts } from './accounts.js';
import { emptyConfiguration } from './configuration.js';
import { emptyLog } from './log.js';
import { emptyTurns } from './turns.js';

/** @returns {State} */
export function emptyState() {
  return {
    connection: { status: 'closed', reason: '', roundTripMs: null, models: [], version: '' },
    microphone: { status: 'off', source: '', problem: '', held: false },
    configuration: emptyConfiguration(),
    items: [],
    turns: emptyTurns(),
    log: emptyLog(),
    accounts: emptyAccounts(),
    page: { memory: [], weather: null, timers: [] },
    notices: [],
  };
}
