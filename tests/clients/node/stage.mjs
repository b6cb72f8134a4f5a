// What the conversations share: what the test told us, a microphone, patience, and how to report.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export const { VIVAVOCE_URL: url, VIVAVOCE_WS_URL: wsUrl, VIVAVOCE_KEY: key, TOOL_OUTPUT: toolOutput } = process.env;
export const recording = readFileSync(process.env.RECORDING);

const CHUNK_BYTES = 40 * 48;
const TIMES_REAL = 8;
const PATIENCE_MS = 20_000;

// Speak the recording, then let the room be quiet until somebody has heard enough.
export async function speak(send, until) {
  for (let start = 0; start < recording.length || !until(); start += CHUNK_BYTES) {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    recording.copy(chunk, 0, Math.min(start, recording.length), start + CHUNK_BYTES);
    send(chunk);
    await sleep(40 / TIMES_REAL);
  }
}

export async function waitFor(isSo, what) {
  const giveUpAt = Date.now() + PATIENCE_MS;
  while (!isSo()) {
    if (Date.now() > giveUpAt) throw new Error(`waited in vain for ${what}`);
    await sleep(5);
  }
}

// Play the conversation that the test asked for, and tell it what the client reported.
export async function play(conversations) {
  const report = await conversations[process.argv[2]]();
  process.stdout.write(`\n${JSON.stringify(report)}\n`, () => process.exit(0));
}
