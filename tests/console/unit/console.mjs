// Where the console lies, and a store without a page.
import { Store } from '../../../src/vivavoce/server/console/state/store.js';

/** A session as the server echoes it. */
export function sessionOf(input = {}, more = {}) {
  const detection = { type: 'server_vad', threshold: 0.5, prefix_padding_ms: 300, silence_duration_ms: 500, idle_timeout_ms: null };
  return {
    type: 'realtime', object: 'realtime.session', id: 'sess_1', expires_at: 2_000_000_000, model: 'gpt-realtime', output_modalities: ['audio'],
    instructions: '', tools: [], tool_choice: 'auto', max_output_tokens: 'inf', truncation: 'auto',
    audio: {
      input: {
        format: { type: 'audio/pcm', rate: 24000 }, transcription: null, noise_reduction: null,
        turn_detection: { ...detection, create_response: true, interrupt_response: true }, ...input,
      },
      output: { format: { type: 'audio/pcm', rate: 24000 }, voice: 'alloy', speed: 1 },
    },
    ...more,
  };
}

export const USAGE = {
  total_tokens: 30, input_tokens: 20, output_tokens: 10,
  input_token_details: { text_tokens: 15, audio_tokens: 5, image_tokens: 0, cached_tokens: 2 },
  output_token_details: { text_tokens: 4, audio_tokens: 6 },
};

/** A store to which events are told with the moment at which they came. */
export function telling() {
  const store = new Store();
  let n = 0;
  const server = (at, type, fields = {}) => store.dispatch({ kind: 'received', at, event: { type, event_id: `event_${(n += 1)}`, ...fields } });
  const client = (at, type, fields = {}) => store.dispatch({ kind: 'sent', at, event: { type, ...fields } });
  const response = (at, type, id, fields = {}) =>
    server(at, type, { response: { id, status: 'in_progress', status_details: null, output: [], usage: USAGE, ...fields } });
  return { store, server, client, response };
}

/** Base64 of so many milliseconds of PCM16. */
export function audio(ms) {
  return Buffer.alloc(ms * 48).toString('base64');
}

/** An answer in speech: `words` in one delta each, `ms` of audio after each word. */
export function spokenAnswer(told, id, at, words, ms) {
  const item = `item of ${id}`;
  told.response(at, 'response.created', id);
  told.server(at, 'response.output_item.added', { response_id: id, item: { id: item, type: 'message', role: 'assistant', status: 'in_progress', content: [] } });
  told.server(at, 'conversation.item.added', { item: { id: item, type: 'message', role: 'assistant', status: 'in_progress', content: [] }, previous_item_id: null });
  for (const word of words) {
    told.server(at + 1, 'response.output_audio_transcript.delta', { response_id: id, item_id: item, delta: word });
    told.server(at + 2, 'response.output_audio.delta', { response_id: id, item_id: item, delta: audio(ms) });
    told.store.dispatch({ kind: 'queued', itemId: item, ms });
  }
  const content = [{ type: 'output_audio', transcript: words.join('') }];
  told.server(at + 3, 'conversation.item.done', { item: { id: item, type: 'message', role: 'assistant', status: 'completed', content }, previous_item_id: null });
  told.response(at + 4, 'response.done', id, { status: 'completed' });
  return item;
}
