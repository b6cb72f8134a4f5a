// @ts-check
/**
 * Sessions to begin from. A preset changes what it names and leaves the rest.
 *
 * @typedef {{name: string, patch: Record<string, any>}} Preset
 */

const LISTENING = { type: 'server_vad', threshold: 0.5, prefix_padding_ms: 300, silence_duration_ms: 500 };
const PCM = { type: 'audio/pcm', rate: 24000 };
const ULAW = { type: 'audio/pcmu' };

/** @type {Preset[]} */
export const PRESETS = [
  {
    name: 'Conversation',
    patch: {
      instructions: 'You are a friendly assistant. Answer in one or two short sentences.',
      output_modalities: ['audio'],
      audio: { input: { format: PCM, turn_detection: LISTENING }, output: { format: PCM, speed: 1 } },
    },
  },
  {
    name: 'Patient listener',
    patch: {
      instructions: 'You interview the user about their day. Ask one question at a time, and let them finish.\nSpeak in a calm tone.',
      output_modalities: ['audio'],
      audio: { input: { turn_detection: { type: 'semantic_vad', eagerness: 'low' } }, output: { speed: 0.95 } },
    },
  },
  {
    name: 'Telephone',
    patch: {
      instructions: 'You answer the telephone of a small hotel. Be brief, and repeat names and numbers.',
      output_modalities: ['audio'],
      audio: { input: { format: ULAW, turn_detection: { ...LISTENING, silence_duration_ms: 700 } }, output: { format: ULAW } },
    },
  },
  {
    name: 'Dictation',
    patch: {
      output_modalities: ['text'],
      audio: { input: { transcription: { model: 'whisper-1' }, turn_detection: { ...LISTENING, create_response: false } } },
    },
  },
  {
    name: 'Quick tests',
    patch: {
      instructions: 'Answer in three words.',
      output_modalities: ['text'],
      max_output_tokens: 100,
      audio: { input: { turn_detection: { ...LISTENING, silence_duration_ms: 200 } } },
    },
  },
];

/** What the console asks of a new session, so that the words of both sides can be read and functions can be tried. */
export const WISHES = {
  instructions: 'You are a friendly assistant. Answer in one or two short sentences.',
  audio: { input: { transcription: { model: 'whisper-1' } } },
};
