// @ts-check
/**
 * Every setting of a session as a row of a table: where it stands, how it is shown, what changes it. The editor is drawn from
 * this table.
 *
 * @typedef {import('../wire.js').Session} Session
 * @typedef {object} Field
 * @property {string} id Its path in the session; that of what it is a part of, and its name, where it has none.
 * @property {string} group
 * @property {string} label
 * @property {'text' | 'words' | 'select' | 'suggest' | 'slider' | 'switch' | 'number'} kind `text` is long, `words` one line.
 * @property {(session: Session) => any} get
 * @property {(value: any, session: Session) => Record<string, any>} patch
 * @property {(session: Session) => boolean} [when] Shown only then.
 * @property {[value: string, label: string][]} [options]
 * @property {number} [min]
 * @property {number} [max]
 * @property {number} [step]
 * @property {string} [unit]
 * @property {string} [hint]
 */

import { TONES, toneOf, withTone } from './tone.js';

export const VOICES = ['alloy', 'ash', 'ballad', 'cedar', 'coral', 'echo', 'marin', 'sage', 'shimmer', 'verse'];

/** @type {[string, string][]} */
const FORMATS = [['audio/pcm', 'PCM16, 24 kHz'], ['audio/pcmu', 'G.711 µ-law, 8 kHz'], ['audio/pcma', 'G.711 A-law, 8 kHz']];

/** @param {any} input */
const input = (input) => ({ audio: { input } });
/** @param {any} output */
const output = (output) => ({ audio: { output } });
/** @param {Session} session */
const detection = (session) => session.audio.input.turn_detection;
/** @param {Session} session */
const server = (session) => /** @type {any} */ (detection(session)?.type === 'server_vad' ? detection(session) : null);
/** @param {Session} session */
const hears = (session) => detection(session) !== null;
/** @param {Session} session */
const transcribes = (session) => session.audio.input.transcription !== null;
/** @param {string} type */
const format = (type) => (type === 'audio/pcm' ? { type, rate: 24000 } : { type });

/**
 * A number of `server_vad`.
 * @param {string} name
 * @param {string} label
 * @param {Partial<Field>} more
 * @returns {Field}
 */
function vad(name, label, more) {
  return {
    id: `audio.input.turn_detection.${name}`,
    group: 'Turns',
    label,
    kind: 'slider',
    get: (session) => server(session)?.[name] ?? 0,
    patch: (value) => input({ turn_detection: { type: 'server_vad', [name]: value } }),
    when: (session) => server(session) !== null,
    ...more,
  };
}

/**
 * A yes or no of any turn detection.
 * @param {'create_response' | 'interrupt_response'} name
 * @param {string} label
 * @returns {Field}
 */
function turnSwitch(name, label) {
  return {
    id: `audio.input.turn_detection.${name}`,
    group: 'Turns',
    label,
    kind: 'switch',
    get: (session) => detection(session)?.[name] ?? false,
    patch: (value, session) => input({ turn_detection: { type: detection(session)?.type, [name]: value } }),
    when: hears,
  };
}

/**
 * A field of `transcription`.
 * @param {'model' | 'language' | 'prompt'} name
 * @param {string} label
 * @param {string} hint
 * @returns {Field}
 */
function transcription(name, label, hint) {
  return {
    id: `audio.input.transcription.${name}`,
    group: 'Your words',
    label,
    kind: 'words',
    hint,
    get: (session) => session.audio.input.transcription?.[name] ?? '',
    patch: (value) => input({ transcription: { [name]: value || null } }),
    when: transcribes,
  };
}

/** @type {Field[]} */
export const FIELDS = [
  {
    id: 'instructions', group: 'Assistant', label: 'Instructions', kind: 'text',
    hint: 'Who the assistant is and what it should do.',
    get: (session) => session.instructions, patch: (value) => ({ instructions: value }),
  },
  {
    id: 'audio.output.voice', group: 'Assistant', label: 'Voice', kind: 'suggest',
    options: VOICES.map((voice) => [voice, voice]), hint: 'Fixed once the assistant has spoken.',
    get: ({ audio }) => (typeof audio.output.voice === 'string' ? audio.output.voice : audio.output.voice.id),
    patch: (voice) => output({ voice }),
  },
  {
    id: 'instructions.tone', group: 'Assistant', label: 'Tone', kind: 'select', options: TONES.map((tone) => [tone, tone || 'its own']),
    hint: 'A line in the instructions.',
    get: (session) => toneOf(session.instructions),
    patch: (tone, session) => ({ instructions: withTone(session.instructions, tone) }),
  },
  {
    id: 'audio.output.speed', group: 'Assistant', label: 'Speed', kind: 'slider', min: 0.25, max: 1.5, step: 0.05, unit: '×',
    get: ({ audio }) => audio.output.speed, patch: (speed) => output({ speed }),
  },
  {
    id: 'output_modalities', group: 'Assistant', label: 'Answers in', kind: 'select', options: [['audio', 'speech'], ['text', 'text']],
    get: (session) => session.output_modalities[0], patch: (value) => ({ output_modalities: [value] }),
  },
  {
    id: 'audio.input.turn_detection.type', group: 'Turns', label: 'Turn detection', kind: 'select',
    options: [['server_vad', 'voice activity'], ['semantic_vad', 'semantic'], ['', 'none: push to talk']],
    get: (session) => detection(session)?.type ?? '', patch: (type) => input({ turn_detection: type ? { type } : null }),
  },
  vad('threshold', 'Threshold', { min: 0.05, max: 0.95, step: 0.05, hint: 'How sure it must be that this is speech.' }),
  vad('prefix_padding_ms', 'Padding before', { min: 0, max: 1000, step: 20, unit: 'ms' }),
  vad('silence_duration_ms', 'Silence that ends', { min: 100, max: 2000, step: 20, unit: 'ms' }),
  vad('idle_timeout_ms', 'Ask again after', {
    kind: 'number', min: 5000, max: 30000, step: 500, unit: 'ms', hint: 'Of silence; empty for never.',
    get: (session) => server(session)?.idle_timeout_ms ?? '',
    patch: (value) => input({ turn_detection: { type: 'server_vad', idle_timeout_ms: value === '' ? null : Number(value) } }),
  }),
  {
    id: 'audio.input.turn_detection.eagerness', group: 'Turns', label: 'Eagerness', kind: 'select',
    options: [['auto', 'auto'], ['low', 'low'], ['medium', 'medium'], ['high', 'high']],
    get: (session) => /** @type {any} */ (detection(session))?.eagerness ?? 'auto',
    patch: (eagerness) => input({ turn_detection: { type: 'semantic_vad', eagerness } }),
    when: (session) => detection(session)?.type === 'semantic_vad',
  },
  turnSwitch('create_response', 'Answer by itself'),
  turnSwitch('interrupt_response', 'Speech interrupts'),
  {
    id: 'audio.input.transcription', group: 'Your words', label: 'Transcription', kind: 'switch',
    get: transcribes, patch: (on) => input({ transcription: on ? { model: 'whisper-1' } : null }),
  },
  transcription('model', 'Transcription model', 'Any name; the server has one.'),
  transcription('language', 'Language', 'Such as en.'),
  transcription('prompt', 'Prompt', 'Words to expect.'),
  {
    id: 'audio.input.noise_reduction', group: 'Your words', label: 'Noise reduction', kind: 'select',
    options: [['', 'none'], ['near_field', 'near field'], ['far_field', 'far field']],
    get: (session) => session.audio.input.noise_reduction?.type ?? '',
    patch: (type) => input({ noise_reduction: type ? { type } : null }),
  },
  {
    id: 'audio.input.format', group: 'Formats and limits', label: 'Sound in', kind: 'select', options: FORMATS,
    get: ({ audio }) => audio.input.format.type, patch: (type) => input({ format: format(type) }),
  },
  {
    id: 'audio.output.format', group: 'Formats and limits', label: 'Sound out', kind: 'select', options: FORMATS,
    get: ({ audio }) => audio.output.format.type, patch: (type) => output({ format: format(type) }),
  },
  {
    id: 'max_output_tokens', group: 'Formats and limits', label: 'Longest answer', kind: 'number', min: 1, max: 128000, step: 1,
    unit: 'tokens', hint: 'Empty for no limit.',
    get: (session) => (session.max_output_tokens === 'inf' ? '' : session.max_output_tokens),
    patch: (value) => ({ max_output_tokens: value === '' ? 'inf' : Number(value) }),
  },
  {
    id: 'truncation', group: 'Formats and limits', label: 'When the context is full', kind: 'select',
    options: [['auto', 'forget the oldest'], ['disabled', 'refuse'], ['retention_ratio', 'keep 80 %']],
    get: ({ truncation }) => (typeof truncation === 'string' ? truncation : truncation.type),
    patch: (value) => ({ truncation: value === 'retention_ratio' ? { type: value, retention_ratio: 0.8 } : value }),
  },
];

export const GROUPS = [...new Set(FIELDS.map((field) => field.group))];
