// @ts-check
import { byId, h, setText } from './dom.js';

/** @typedef {import('../state/state.js').State} State */

const WORDS = {
  closed: 'not connected',
  locked: 'key needed',
  connecting: 'connecting',
  open: 'connected',
  reconnecting: 'reconnecting',
  ended: 'session over',
};

/**
 * The line on top: the state of the connection, the model, the round trip.
 * @param {{useModel: (model: string) => void, restart: () => void}} actions
 */
export function header(actions) {
  const status = byId('status');
  const model = /** @type {HTMLSelectElement} */ (byId('model'));
  const restart = byId('restart');
  model.addEventListener('change', () => actions.useModel(model.value));
  restart.addEventListener('click', actions.restart);

  return (/** @type {State} */ { connection, configuration }) => {
    const { status: state, reason, roundTripMs, models, version } = connection;
    status.dataset.status = state;
    setText(byId('status-text'), WORDS[state]);
    status.title = [reason, version && `vivavoce ${version}`].filter(Boolean).join(' · ');
    setText(byId('round-trip'), roundTripMs === null ? '' : `${roundTripMs < 10 ? roundTripMs.toFixed(1) : Math.round(roundTripMs)} ms`);
    offer(model, models, configuration.session?.model ?? '');
    setText(restart, state === 'ended' ? 'Start a new one' : 'New');
    const banner = byId('banner');
    banner.hidden = !reason || state === 'open' || state === 'locked';
    setText(banner, reason);
  };
}

/**
 * @param {HTMLSelectElement} select
 * @param {string[]} models
 * @param {string} current
 */
function offer(select, models, current) {
  const names = [...new Set([current, ...models].filter(Boolean))].sort();
  if (select.dataset.names !== names.join('\n')) {
    select.dataset.names = names.join('\n');
    select.replaceChildren(...names.map((name) => h('option', { value: name }, name)));
  }
  if (current && document.activeElement !== select) select.value = current;
}
