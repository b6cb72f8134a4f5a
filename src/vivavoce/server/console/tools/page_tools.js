// @ts-check
/**
 * Three functions that the page carries out itself, so that a conversation can call something at once.
 *
 * @typedef {import('../state/store.js').Store} Store
 * @typedef {import('../wire.js').FunctionTool} FunctionTool
 * @typedef {{tool: FunctionTool, run: (args: Record<string, any>, store: Store) => unknown}} PageTool `run` returns the output.
 */

import { weatherIn } from './weather.js';

const MAX_MEMORIES = 50;
const MAX_TIMERS = 5;

/** @type {PageTool[]} */
export const PAGE_TOOLS = [
  {
    tool: {
      type: 'function',
      name: 'get_weather',
      description: 'The weather in a place now.',
      parameters: {
        type: 'object',
        properties: { location: { type: 'string', description: 'A city, such as Paris.' } },
        required: ['location'],
      },
    },
    run: getWeather,
  },
  {
    tool: {
      type: 'function',
      name: 'set_memory',
      description: 'Remember something that the user wants to be remembered.',
      parameters: {
        type: 'object',
        properties: {
          key: { type: 'string', description: 'What it is about, in one or two words.' },
          value: { type: 'string', description: 'What to remember.' },
        },
        required: ['key', 'value'],
      },
    },
    run: setMemory,
  },
  {
    tool: {
      type: 'function',
      name: 'set_timer',
      description: 'Start a timer.',
      parameters: {
        type: 'object',
        properties: {
          seconds: { type: 'number', description: 'How long, in seconds.', minimum: 1, maximum: 86400 },
          name: { type: 'string', description: 'What it is for.' },
        },
        required: ['seconds'],
      },
    },
    run: setTimer,
  },
];

/** @type {PageTool['run']} */
function getWeather({ location }, store) {
  const weather = weatherIn(String(location), new Date().toDateString());
  store.dispatch({ kind: 'page', change: { weather } });
  const { place, sky, degrees, wind } = weather;
  return { location: place, sky, temperature_celsius: degrees, wind, note: 'made-up data' };
}

/** @type {PageTool['run']} */
function setMemory({ key, value }, store) {
  const others = store.state.page.memory.filter(([known]) => known !== String(key));
  store.dispatch({ kind: 'page', change: { memory: [...others, pair(String(key), String(value))].slice(-MAX_MEMORIES) } });
  return { ok: true };
}

/** @type {PageTool['run']} */
function setTimer({ seconds, name = 'timer' }, store) {
  const timer = { name: String(name), seconds: Number(seconds), endsAt: Date.now() + Number(seconds) * 1000 };
  store.dispatch({ kind: 'page', change: { timers: [...store.state.page.timers, timer].slice(-MAX_TIMERS) } });
  return { ok: true, name: timer.name, seconds: timer.seconds };
}

/**
 * @param {string} key
 * @param {string} value
 * @returns {[string, string]}
 */
function pair(key, value) {
  return [key, value];
}
