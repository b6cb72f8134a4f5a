// Conversations held by `@openai/agents-realtime` over WebSocket.
import { RealtimeAgent, RealtimeSession, tool } from '@openai/agents-realtime';
import { z } from 'zod';
import { key, play, recording, speak, toolOutput, waitFor, wsUrl } from './stage.mjs';

async function talk(converse, { tools = [], config = {} } = {}) {
  const agent = new RealtimeAgent({ name: 'Assistant', instructions: 'Be brief.', tools });
  const session = new RealtimeSession(agent, { transport: 'websocket', model: 'gpt-realtime', config, tracingDisabled: true });
  const seen = { errors: [], audio: [], interrupted: 0, toolResults: [], turns: 0 };
  session.on('error', (error) => seen.errors.push(error));
  session.on('audio', (event) => seen.audio.push(Buffer.from(event.data)));
  session.on('audio_interrupted', () => (seen.interrupted += 1));
  session.on('agent_tool_end', (_context, _agent, _tool, result) => seen.toolResults.push(result));
  session.on('transport_event', (event) => (seen.turns += event.type === 'response.done' ? 1 : 0));
  await session.connect({ apiKey: key, url: `${wsUrl}?model=gpt-realtime` });
  const history = () => session.history.map(line);
  await converse(session, seen, history);
  session.close();
  return { ...seen, audio: Buffer.concat(seen.audio).toString('base64'), history: history() };
}

function line(item) {
  if (item.type === 'function_call') return [item.name, item.output];
  return [item.role, item.content.map((part) => part.transcript ?? part.text ?? '').join(' ')];
}

const send = (session) => (chunk) =>
  session.sendAudio(chunk.buffer.slice(chunk.byteOffset, chunk.byteOffset + chunk.byteLength));
const turns = (seen, count) => waitFor(() => seen.turns >= count, `${count} turns`);
const words = (history, count) => waitFor(() => history().filter(([, said]) => said).length >= count, `${count} lines`);
const audioMs = (seen) => seen.audio.reduce((bytes, chunk) => bytes + chunk.length, 0) / 48;

await play({
  typed: () =>
    talk(async (session, seen) => {
      session.sendMessage('Hello!');
      await turns(seen, 1);
    }),

  spoken: () =>
    talk(async (session, seen, history) => {
      await speak(send(session), () => seen.turns >= 1);
      await words(history, 2);
    }),

  pushToTalk: () =>
    talk(
      async (session, seen, history) => {
        send(session)(recording);
        session.sendAudio(new ArrayBuffer(960), { commit: true });
        session.transport.requestResponse();
        await turns(seen, 1);
        await words(history, 2);
      },
      { config: { audio: { input: { turnDetection: null, transcription: { model: 'whisper-1' } } } } },
    ),

  toolCall: () => {
    const parameters = z.object({ city: z.string(), unit: z.string() });
    const execute = async ({ city, unit }) => (city === 'Oslo' && unit === 'celsius' ? toolOutput : 'Where is that?');
    const weather = tool({ name: 'get_weather', description: 'The weather in a city.', parameters, execute });
    const converse = async (session, seen) => {
      session.sendMessage('How is the weather?');
      await turns(seen, 2);
    };
    return talk(converse, { tools: [weather] });
  },

  interruption: () =>
    talk(async (session, seen, history) => {
      session.sendMessage('Tell me a story.');
      await waitFor(() => audioMs(seen) > 3000, 'three seconds of the story');
      await speak(send(session), () => seen.turns >= 2);
      await words(history, 4);
      session.sendMessage('What did I hear?');
      await turns(seen, 3);
    }),
});
