// @ts-check
/**
 * Made-up weather for places all over the world. The same place has the same weather all day.
 *
 * @typedef {{place: string, x: number, y: number, sky: string, degrees: number, wind: string}} Weather `x` and `y` are degrees
 *   east and north.
 */

const PLACES = /** @type {Record<string, [number, number]>} */ ({
  london: [0, 51], paris: [2, 49], berlin: [13, 52], madrid: [-4, 40], rome: [12, 42], athens: [24, 38], moscow: [38, 56],
  cairo: [31, 30], lagos: [3, 6], nairobi: [37, -1], 'cape town': [18, -34], istanbul: [29, 41], dubai: [55, 25],
  delhi: [77, 29], mumbai: [73, 19], bangkok: [100, 14], singapore: [104, 1], beijing: [116, 40], shanghai: [121, 31],
  seoul: [127, 38], tokyo: [140, 36], sydney: [151, -34], auckland: [175, -37], honolulu: [-158, 21], vancouver: [-123, 49],
  'san francisco': [-122, 38], 'los angeles': [-118, 34], denver: [-105, 40], chicago: [-88, 42], 'new york': [-74, 41],
  toronto: [-79, 44], 'mexico city': [-99, 19], bogota: [-74, 5], lima: [-77, -12], 'rio de janeiro': [-43, -23],
  'buenos aires': [-58, -35], reykjavik: [-22, 64], oslo: [11, 60], dakar: [-17, 15],
});
const SKIES = ['clear', 'a few clouds', 'overcast', 'light rain', 'rain', 'thunderstorms', 'fog'];
const WINDS = ['calm', 'a light breeze', 'windy'];

/**
 * @param {string} place
 * @param {string} day Any text that changes once a day.
 * @returns {Weather}
 */
export function weatherIn(place, day) {
  const name = place.trim() || 'nowhere';
  const known = PLACES[name.toLowerCase().split(',')[0]];
  const number = hash(`${name.toLowerCase()} ${day}`);
  const [x, y] = known ?? [(hash(name) % 300) - 150, (hash(`${name}!`) % 100) - 40];
  const degrees = Math.round(28 - Math.abs(y) * 0.45 + (number % 9) - 4);
  const sky = degrees < 0 && number % 7 > 2 ? 'snow' : SKIES[number % SKIES.length];
  return { place: name, x, y, sky, degrees, wind: WINDS[number % WINDS.length] };
}

/** All places that are on the map, for its dots. */
export const DOTS = Object.values(PLACES);

/** @param {string} text FNV-1a: small, and the same everywhere. */
function hash(text) {
  let sum = 0x811c9dc5;
  for (const character of text) sum = Math.imul(sum ^ (character.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return sum >>> 3;
}
