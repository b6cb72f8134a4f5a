// Conversations held by `openai` over WebSocket: this client only speaks TLS. Said to be in a browser, it mints a client secret
// and shows that as a subprotocol, as a page does that gets the secret from its own server.
import OpenAI from 'openai';
import { OpenAIRealtimeWS as BetaWS } from 'openai/beta/realtime/ws';
import { OpenAIRealtimeWebSocket } from 'openai/realtime/websocket';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';
import { key, play, recording, speak, toolOutput, url, waitFor } from './stage.mjs';

const inBrowser = process.argv[3] === 'browser';
const owner = new OpenAI({ baseURL: url, apiKey: key });
const secret = inBrowser && (await owner.realtime.clientSecrets.create({ session: { type: 'realtime' } }));
const apiKey = inBrowser ? secret.value : key;
const client = new OpenAI({ baseURL: url, apiKey, dangerouslyAllowBrowser: inBrowser });
const StyleOfSocket = inBrowser ? OpenAIRealtimeWebSocket : OpenAIRealtimeWS;
const transcription = { model: 'whisper-1' };

async function talk(converse, Socket = StyleOfSocket, tongue = 'response.output_audio') {
  const socket = new Socket({ model: 'gpt-realtime' }, client);
  const seen = { errors: [], audio: [], transcript: '', answers: [], heard: [], events: [], truncated: [] };
  socket.on('error', (error) => seen.errors.push(String(error)));
  socket.on('event', (event) => seen.events.push(event.type));
  socket.on(`${tongue}.delta`, (event) => seen.audio.push([event.item_id, Buffer.from(event.delta, 'base64')]));
  socket.on(`${tongue}_transcript.delta`, (event) => (seen.transcript += event.delta));
  socket.on('conversation.item.truncated', (event) => seen.truncated.push(event.audio_end_ms));
  socket.on('conversation.item.input_audio_transcription.completed', (event) => seen.heard.push(event.transcript));
  socket.on('response.done', (event) => seen.answers.push(event.response));
  await waitFor(() => seen.events.length > 0 || seen.errors.length > 0, 'the session');
  await converse(socket, seen);
  socket.close();
  return { ...seen, audio: Buffer.concat(seen.audio.map(([, pcm]) => pcm)).toString('base64') };
}

const append = (socket) => (chunk) => socket.send({ type: 'input_audio_buffer.append', audio: chunk.toString('base64') });
const respond = (socket, response) => socket.send({ type: 'response.create', response });
const update = (socket, session) => socket.send({ type: 'session.update', session: { type: 'realtime', ...session } });
const answers = (seen, count) => waitFor(() => seen.answers.length >= count, `${count} answers`);
const heard = (seen, count) => waitFor(() => seen.heard.length >= count, `${count} transcripts`);
const audioMs = (seen) => seen.audio.reduce((bytes, [, pcm]) => bytes + pcm.length, 0) / 48;

function type(socket, text) {
  const item = { type: 'message', role: 'user', content: [{ type: 'input_text', text }] };
  socket.send({ type: 'conversation.item.create', item });
}

async function typed(socket, seen) {
  type(socket, 'Hello!');
  respond(socket);
  await answers(seen, 1);
}

await play({
  typed: () => talk(typed),
  typedInBeta: () => talk(typed, BetaWS, 'response.audio'),

  spoken: () =>
    talk(async (socket, seen) => {
      update(socket, { audio: { input: { transcription } } });
      await speak(append(socket), () => seen.answers.length >= 1);
      await heard(seen, 1);
    }),

  pushToTalk: () =>
    talk(async (socket, seen) => {
      update(socket, { audio: { input: { turn_detection: null, transcription } } });
      append(socket)(recording);
      socket.send({ type: 'input_audio_buffer.commit' });
      respond(socket);
      await answers(seen, 1);
      await heard(seen, 1);
    }),

  toolCall: () =>
    talk(async (socket, seen) => {
      const parameters = { type: 'object', properties: { city: { type: 'string' } } };
      update(socket, { tools: [{ type: 'function', name: 'get_weather', description: 'The weather.', parameters }] });
      type(socket, 'How is the weather?');
      respond(socket);
      await answers(seen, 1);
      const [{ call_id }] = seen.answers[0].output;
      const item = { type: 'function_call_output', call_id, output: toolOutput };
      socket.send({ type: 'conversation.item.create', item });
      respond(socket);
      await answers(seen, 2);
    }),

  interruption: () =>
    talk(async (socket, seen) => {
      update(socket, { audio: { input: { transcription } } });
      type(socket, 'Tell me a story.');
      respond(socket);
      await waitFor(() => audioMs(seen) > 3000, 'three seconds of the story');
      const [item_id] = seen.audio[0];
      const truncate = { type: 'conversation.item.truncate', item_id, content_index: 0, audio_end_ms: 1700 };
      socket.on('input_audio_buffer.speech_started', () => socket.send(truncate));
      await speak(append(socket), () => seen.answers.length >= 2);
      await heard(seen, 1);
      type(socket, 'What did I hear?');
      respond(socket, { output_modalities: ['text'] });
      await answers(seen, 3);
    }),
});
