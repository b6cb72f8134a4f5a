// @ts-check
import { byId, h } from './dom.js';

/** @typedef {import('../state/state.js').State} State */

/** Tokens of all responses and of the last one, and what is left of the key's limits. */
export function accounts() {
  /** @type {State['accounts'] | null} */
  let last = null;
  return (/** @type {State} */ state) => {
    if (state.accounts === last) return;
    last = state.accounts;
    const { sums, last: usage, limits } = last;
    const { input_token_details: input, output_token_details: output } = usage ?? {};
    const rows = /** @type {[string, number, number | undefined][]} */ ([
      ['text in', sums.inputText, input?.text_tokens],
      ['sound in', sums.inputAudio, input?.audio_tokens],
      ['of it cached', sums.cached, input?.cached_tokens],
      ['text out', sums.outputText, output?.text_tokens],
      ['sound out', sums.outputAudio, output?.audio_tokens],
    ]);
    byId('usage-rows').replaceChildren(
      ...rows.map(([label, all, one]) => h('tr', {}, h('th', { scope: 'row' }, label), cell(all), cell(one))),
      h('tr', {}, h('th', { scope: 'row' }, 'responses'), cell(sums.responses), cell(undefined)),
    );
    byId('limits').replaceChildren(...limits.map(limitView));
    byId('no-limits').hidden = limits.length > 0;
  };
}

/** @param {number | undefined} count */
function cell(count) {
  return h('td', {}, count === undefined ? '–' : count.toLocaleString('en'));
}

/** @param {import('../wire.js').RateLimit} limit */
function limitView({ name, limit, remaining, reset_seconds: seconds }) {
  const label = `${remaining.toLocaleString('en')} of ${limit.toLocaleString('en')} ${name} left`;
  const bar = h('progress', { max: limit, value: Math.max(0, remaining), 'aria-label': label });
  return h('li', {}, h('span', {}, label), bar, h('small', {}, `whole again in ${seconds.toFixed(1)} s`));
}
