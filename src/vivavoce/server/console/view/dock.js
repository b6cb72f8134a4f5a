// @ts-check
import { byId, h, setText } from './dom.js';
import { devices } from '../audio/microphone.js';

/** @typedef {import('../state/state.js').State} State */
/** @typedef {import('../talk/dialogue.js').Dialogue} Dialogue */

/** The modes of the switch, as turn detection. */
const MODES = /** @type {Record<string, any>} */ ({ server_vad: { type: 'server_vad' }, semantic_vad: { type: 'semantic_vad' }, none: null });

/**
 * Where one talks: the big button, the mode, the devices, the line for typing.
 * @param {Dialogue} dialogue
 * @param {(patch: Record<string, any>) => void} update
 */
export function dock(dialogue, update) {
  const talk = /** @type {HTMLButtonElement} */ (byId('talk'));
  const hold = /** @type {HTMLButtonElement} */ (byId('hold'));
  const modes = /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll('#modes input'));
  const microphone = /** @type {HTMLSelectElement} */ (byId('microphone'));
  const loudspeaker = /** @type {HTMLSelectElement} */ (byId('loudspeaker'));
  let isOn = false;

  talk.addEventListener('click', () => (isOn ? dialogue.stopListening() : void dialogue.listen(microphone.value)));
  microphone.addEventListener('change', () => isOn && void dialogue.listen(microphone.value));
  loudspeaker.addEventListener('change', () => void dialogue.playThrough(loudspeaker.value));
  byId('stop').addEventListener('click', () => void dialogue.stop());
  for (const mode of modes) {
    mode.addEventListener('change', () => update({ audio: { input: { turn_detection: MODES[mode.value] } } }));
  }
  holding(hold, dialogue);
  typing(dialogue);
  recordings(dialogue);
  navigator.mediaDevices?.addEventListener('devicechange', () => void offerDevices(microphone, loudspeaker));

  return (/** @type {State} */ state) => {
    const { status, source, problem, held } = state.microphone;
    const detection = state.configuration.session?.audio.input.turn_detection;
    const isHeld = state.configuration.session !== null && detection === null;
    if (status === 'on' && !isOn) void offerDevices(microphone, loudspeaker);
    isOn = status === 'on';
    talk.disabled = status === 'asking';
    talk.dataset.status = status;
    setText(byId('talk-label'), { off: 'Start talking', asking: 'Allow the microphone…', on: 'Stop listening', failed: 'Try again' }[status]);
    hold.hidden = !(isOn && isHeld);
    hold.setAttribute('aria-pressed', String(held));
    setText(byId('hold-label'), held ? 'Let go to send' : 'Hold to talk');
    const kind = detection === null ? 'none' : (detection?.type ?? 'server_vad');
    // Between a choice and its echo, the choice stands.
    const isSettled = !state.configuration.pending.some(({ patch }) => patch.audio?.input?.turn_detection !== undefined);
    for (const mode of modes) if (isSettled) mode.checked = mode.value === kind;
    setText(byId('source'), isOn ? source : '');
    byId('problem').hidden = status !== 'failed';
    setText(byId('problem'), problem);
    byId('stop').hidden = !isAnswering(state);
  };
}

/** @param {State} state */
function isAnswering({ turns }) {
  return turns.list.slice(-3).some((turn) => turn.status === 'in_progress' || (turn.playStart !== null && turn.playEnd === null));
}

/**
 * The button, and the space bar wherever it does not mean something else.
 * @param {HTMLButtonElement} button
 * @param {Dialogue} dialogue
 */
function holding(button, dialogue) {
  const down = () => void (button.hidden || dialogue.hold());
  const up = () => dialogue.release();
  button.addEventListener('pointerdown', (event) => {
    button.setPointerCapture(event.pointerId);
    down();
  });
  for (const kind of ['pointerup', 'pointercancel']) button.addEventListener(kind, up);
  const isOurs = (/** @type {KeyboardEvent} */ event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    return event.code === 'Space' && !button.hidden && (target === button || !target.closest('input, textarea, select, button, summary, [tabindex]'));
  };
  document.addEventListener('keydown', (event) => {
    if (!isOurs(event)) return;
    event.preventDefault();
    if (!event.repeat) down();
  });
  document.addEventListener('keyup', (event) => {
    if (event.code !== 'Space' || button.hidden) return;
    if (isOurs(event)) event.preventDefault();
    up();
  });
  addEventListener('blur', up);
}

/** @param {Dialogue} dialogue */
function typing(dialogue) {
  const text = /** @type {HTMLInputElement} */ (byId('text'));
  byId('type').addEventListener('submit', (event) => {
    event.preventDefault();
    if (!text.value.trim()) return;
    void dialogue.type(text.value.trim());
    text.value = '';
  });
}

/**
 * A recording that is dropped on the page, or chosen, is heard in place of the microphone.
 * @param {Dialogue} dialogue
 */
function recordings(dialogue) {
  const chooser = /** @type {HTMLInputElement} */ (byId('recording'));
  byId('choose-recording').addEventListener('click', () => chooser.click());
  chooser.addEventListener('change', () => {
    const file = chooser.files?.[0];
    if (file) void dialogue.listenTo(file);
    chooser.value = '';
  });
  document.addEventListener('dragover', (event) => {
    if (!event.dataTransfer?.types.includes('Files')) return;
    event.preventDefault();
    document.body.classList.add('dropping');
  });
  document.addEventListener('dragleave', (event) => event.relatedTarget === null && document.body.classList.remove('dropping'));
  document.addEventListener('drop', (event) => {
    document.body.classList.remove('dropping');
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    event.preventDefault();
    void dialogue.listenTo(file);
  });
}

/**
 * @param {HTMLSelectElement} microphone
 * @param {HTMLSelectElement} loudspeaker
 */
async function offerDevices(microphone, loudspeaker) {
  const { inputs, outputs } = await devices();
  for (const [select, list, usual] of /** @type {const} */ ([[microphone, inputs, 'Default microphone'], [loudspeaker, outputs, 'Default loudspeaker']])) {
    const chosen = select.value;
    const options = list.filter(({ deviceId }) => deviceId !== 'default').map(({ deviceId, label }) => h('option', { value: deviceId }, label));
    select.replaceChildren(h('option', { value: '' }, usual), ...options);
    select.value = [...select.options].some(({ value }) => value === chosen) ? chosen : '';
  }
}
