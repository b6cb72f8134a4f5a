// @ts-check
import { DOTS } from '../tools/weather.js';
import { byId, h, setText, svg } from './dom.js';

/** @typedef {import('../state/state.js').State} State */
/** @typedef {import('../tools/weather.js').Weather} Weather */

/** What the three functions of the page did: weather on a map of dots, what was remembered, timers that run. */
export function pageTools() {
  /** @type {State['page'] | null} */
  let last = null;
  setInterval(() => last && drawTimers(last.timers), 250);

  return (/** @type {State} */ { page }) => {
    if (page === last) return;
    if (page.weather && page.weather !== last?.weather) byId('map').replaceChildren(mapOf(page.weather));
    if (page.memory !== last?.memory) drawMemory(page.memory);
    last = page;
    byId('weather').hidden = page.weather === null;
    byId('no-tools-yet').hidden = page.weather !== null || page.memory.length > 0 || page.timers.length > 0;
    drawTimers(page.timers);
  };
}

/** @param {[string, string][]} memory */
function drawMemory(memory) {
  byId('memory').hidden = memory.length === 0;
  const rows = memory.map(([key, value]) => h('tr', {}, h('th', { scope: 'row' }, key), h('td', {}, value)));
  byId('memory-rows').replaceChildren(...rows);
}

/** @param {import('../state/state.js').Timer[]} timers */
function drawTimers(timers) {
  byId('timers').hidden = timers.length === 0;
  const list = byId('timer-rows');
  if (list.children.length !== timers.length) {
    list.replaceChildren(...timers.map(() => h('li', {}, h('span'), h('b'), h('progress', { max: 1, 'aria-label': 'Time left' }))));
  }
  timers.forEach(({ name, endsAt, seconds }, index) => {
    const left = Math.max(0, endsAt - Date.now()) / 1000;
    const [label, time, bar] = list.children[index].children;
    setText(label, name);
    setText(time, left === 0 ? 'over' : clock(left));
    /** @type {HTMLProgressElement} */ (bar).value = left / seconds;
  });
}

/** @param {number} seconds */
function clock(seconds) {
  const whole = Math.ceil(seconds);
  const minutes = Math.floor(whole / 60);
  return `${minutes}:${String(whole % 60).padStart(2, '0')}`;
}

/** @param {Weather} weather */
function mapOf({ place, x, y, sky, degrees, wind }) {
  const across = (/** @type {number} */ east) => east + 180;
  const down = (/** @type {number} */ north) => 78 - north;
  const lines = [0, 60, 120, 180, 240, 300, 360].map((at) => svg('line', { x1: at, x2: at, y1: 0, y2: 130, class: 'grid' }));
  const level = [18, 48, 78, 108].map((at) => svg('line', { x1: 0, x2: 360, y1: at, y2: at, class: 'grid' }));
  const dots = DOTS.map(([east, north]) => svg('circle', { cx: across(east), cy: down(north), r: 1.8, class: 'place' }));
  const left = across(x) > 240;
  const text = { x: across(x) + (left ? -9 : 9), 'text-anchor': left ? 'end' : 'start' };
  return svg(
    'svg',
    { viewBox: '0 0 360 130', role: 'img', 'aria-label': `Weather in ${place}: ${sky}, ${degrees} degrees, ${wind}` },
    ...lines, ...level, ...dots,
    svg('circle', { cx: across(x), cy: down(y), r: 9, class: 'halo' }),
    svg('circle', { cx: across(x), cy: down(y), r: 3.5, class: 'here' }),
    svg('text', { ...text, y: down(y) - 1, class: 'name' }, `${place} ${degrees}°`),
    svg('text', { ...text, y: down(y) + 9, class: 'sky' }, `${sky}, ${wind}`),
  );
}
