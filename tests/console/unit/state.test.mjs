import assert from 'node:assert/strict';
import test from 'node:test';
import { merged, paths } from '../../../src/vivavoce/server/console/state/configuration.js';
import { MAX_ITEMS, spokenLength } from '../../../src/vivavoce/server/console/state/conversation.js';
import { MAX_ROWS, exported, found } from '../../../src/vivavoce/server/console/state/log.js';
import { ticks, timelineOf } from '../../../src/vivavoce/server/console/state/timeline.js';
import { MAX_TURNS } from '../../../src/vivavoce/server/console/state/turns.js';
import { audio, sessionOf, spokenAnswer, telling, USAGE } from './console.mjs';

const said = (item) => item.text.slice(0, spokenLength(item));

test('words appear as they are spoken', () => {
  const told = telling();
  const id = spokenAnswer(told, 'resp_1', 0, ['One ', 'two ', 'three.'], 1000);
  const heard = [0, 500, 1000, 1999, 2500].map((ms) => {
    told.store.dispatch({ kind: 'played', itemId: id, ms, ended: false, at: ms });
    return said(told.store.state.items[0]);
  });
  assert.deepEqual(heard, ['', 'One ', 'One ', 'One two ', 'One two three.']);
});

test('an interrupted answer keeps what was heard', () => {
  const told = telling();
  const id = spokenAnswer(told, 'resp_1', 0, ['One ', 'two ', 'three.'], 1000);
  told.store.dispatch({ kind: 'played', itemId: id, ms: 1200, ended: false, at: 1300 });
  told.store.dispatch({ kind: 'cut', heard: [{ itemId: id, ms: 1250 }], at: 1400 });
  const [item] = told.store.state.items;
  assert.deepEqual([item.heardMs, item.cut, said(item)], [1250, true, 'One two ']);
  assert.equal(told.store.state.turns.list[0].interrupted, 1400);
});

test('a spoken turn has its words, wherever the transcript comes', () => {
  const told = telling();
  told.server(0, 'input_audio_buffer.speech_started', { item_id: 'u', audio_start_ms: 0 });
  assert.equal(told.store.state.items[0].status, 'listening');
  const item = { id: 'u', type: 'message', role: 'user', status: 'completed', content: [{ type: 'input_audio', transcript: null }] };
  told.server(1, 'conversation.item.added', { item, previous_item_id: null });
  spokenAnswer(told, 'resp_1', 2, ['Yes.'], 100);
  told.server(9, 'conversation.item.input_audio_transcription.delta', { item_id: 'u', delta: 'Are ' });
  assert.equal(told.store.state.items[0].text, 'Are ');
  told.server(9, 'conversation.item.input_audio_transcription.completed', { item_id: 'u', transcript: 'Are you there? ' });
  assert.deepEqual(told.store.state.items.map(({ text }) => text), ['Are you there?', 'Yes.']);
});

test('items stand where the server puts them', () => {
  const told = telling();
  const add = (id, after) =>
    told.server(0, 'conversation.item.added', { item: { id, type: 'message', role: 'user', content: [] }, previous_item_id: after });
  add('a', null);
  add('b', 'a');
  add('between', 'a');
  told.server(0, 'conversation.item.deleted', { item_id: 'a' });
  assert.deepEqual(told.store.state.items.map(({ id }) => id), ['between', 'b']);
});

test('a response that fails says so in the conversation', () => {
  const told = telling();
  told.response(0, 'response.created', 'resp_1');
  told.response(1, 'response.done', 'resp_1', { status: 'failed', status_details: { type: 'failed', error: { code: 'x', message: 'No model.' } } });
  assert.deepEqual(told.store.state.items.map(({ kind, text }) => [kind, text]), [['failure', 'No model.']]);
});

test('a new session is told from the old one', () => {
  const told = telling();
  told.store.dispatch({ kind: 'opened', at: 0 });
  assert.equal(told.store.state.items.length, 0);
  told.server(1, 'input_audio_buffer.speech_started', { item_id: 'u', audio_start_ms: 0 });
  told.store.dispatch({ kind: 'opened', at: 2 });
  told.store.dispatch({ kind: 'opened', at: 3 });
  assert.deepEqual(told.store.state.items.map(({ kind, status }) => [kind, status]), [['message', 'incomplete'], ['break', 'completed']]);
});

// --- time lines ---

test('the figures of a spoken turn, from audio positions and arrivals', () => {
  const told = telling();
  told.server(0, 'session.created', { session: sessionOf() });
  // Audio is sent from 1000 ms of the clock on, in real time: position p was spoken at 1000 + p.
  for (let n = 1; n <= 100; n += 1) told.client(1000 + 40 * n, 'input_audio_buffer.append', { audio: audio(40) });
  told.server(1700, 'input_audio_buffer.speech_started', { item_id: 'u', audio_start_ms: 400 });
  told.server(4020, 'input_audio_buffer.speech_stopped', { item_id: 'u', audio_end_ms: 3000 });
  told.server(4021, 'input_audio_buffer.committed', { item_id: 'u', previous_item_id: null });
  const id = spokenAnswer(told, 'resp_1', 4030, ['Yes.'], 600);
  told.server(4050, 'conversation.item.input_audio_transcription.completed', { item_id: 'u', transcript: 'Well?' });
  told.store.dispatch({ kind: 'played', itemId: id, ms: 5, ended: false, at: 4105 });
  told.store.dispatch({ kind: 'played', itemId: id, ms: 600, ended: true, at: 4700 });
  const line = timelineOf(told.store.state.turns.list[0], 9999);
  assert.deepEqual(Object.fromEntries(line.figures.map(({ label, ms }) => [label, ms])), {
    speech: 2100, 'end of speech told': 520, transcript: 550, 'first token': 531, 'first audio': 532, 'first sound': 600,
    'response done': 534, playback: 600, 'audio made': 600,
  });
  assert.equal(line.totalMs, 3300);
  assert.deepEqual(line.spans.map(({ kind, from, to }) => [kind, from, to]), [
    ['speech', 0, 2100], ['silence', 2100, 2620], ['transcription', 2620, 2650], ['waiting', 2630, 2631],
    ['generation', 2631, 2634], ['playback', 2700, 3300],
  ]);
});

test('a typed turn begins when it is sent', () => {
  const told = telling();
  told.client(100, 'response.create');
  told.response(110, 'response.created', 'resp_1');
  told.server(150, 'response.output_text.delta', { response_id: 'resp_1', item_id: 'a', delta: 'Hi' });
  told.response(160, 'response.done', 'resp_1', { status: 'completed' });
  const { figures, totalMs } = timelineOf(told.store.state.turns.list[0], 9999);
  assert.deepEqual(figures.map(({ label, ms }) => [label, ms]), [['first token', 50], ['response done', 60]]);
  assert.equal(totalMs, 100);
});

test('ticks are round', () => {
  assert.deepEqual(ticks(5300, 6), [0, 1000, 2000, 3000, 4000, 5000]);
  assert.deepEqual(ticks(90, 6), [0, 20, 40, 60, 80]);
});

// --- configuration ---

test('what the server grants is kept for the next session, what it refuses is not', () => {
  const told = telling();
  told.server(0, 'session.created', { session: sessionOf() });
  told.client(1, 'session.update', { event_id: 'a', session: { type: 'realtime', instructions: 'Be brief.' } });
  told.client(1, 'session.update', { event_id: 'b', session: { type: 'realtime', audio: { output: { voice: 'coral' } } } });
  assert.equal(told.store.state.configuration.pending.length, 2);
  told.server(2, 'session.updated', { session: sessionOf({}, { instructions: 'Be brief.' }) });
  told.server(3, 'error', { error: { message: 'Cannot update the voice.', event_id: 'b' } });
  const { changes, pending, refused } = told.store.state.configuration;
  assert.deepEqual([changes, pending, refused.message], [{ instructions: 'Be brief.' }, [], 'Cannot update the voice.']);
  assert.deepEqual(paths(refused.patch), ['audio.output.voice']);
  assert.equal(told.store.state.notices.at(-1).text, 'Cannot update the voice.');
});

test('patches merge as the server merges them', () => {
  const base = { tools: [1], audio: { input: { turn_detection: { type: 'server_vad', threshold: 0.3 } } } };
  const same = merged(base, { audio: { input: { turn_detection: { type: 'server_vad', silence_duration_ms: 9 } } } });
  assert.deepEqual(same.audio.input.turn_detection, { type: 'server_vad', threshold: 0.3, silence_duration_ms: 9 });
  const other = merged(base, { tools: [], audio: { input: { turn_detection: { type: 'semantic_vad' } } } });
  assert.deepEqual(other, { tools: [], audio: { input: { turn_detection: { type: 'semantic_vad' } } } });
  assert.deepEqual(merged(base, { audio: { input: { turn_detection: null } } }).audio.input, { turn_detection: null });
});

test('usage adds up', () => {
  const told = telling();
  for (const id of ['a', 'b']) told.response(0, 'response.done', id, { status: 'completed', usage: USAGE });
  assert.deepEqual(told.store.state.accounts.sums, {
    responses: 2, inputText: 30, inputAudio: 10, cached: 4, outputText: 8, outputAudio: 12,
  });
});

// --- the log ---

test('pieces are one row, where they began', () => {
  const told = telling();
  for (let n = 0; n < 5; n += 1) told.client(n, 'input_audio_buffer.append', { audio: audio(40) });
  told.server(5, 'input_audio_buffer.speech_started', { item_id: 'u', audio_start_ms: 0 });
  for (let n = 6; n < 9; n += 1) {
    told.client(n, 'input_audio_buffer.append', { audio: audio(40) });
    told.server(n, 'response.output_audio.delta', { item_id: 'a', delta: audio(100) });
    told.server(n, 'response.output_audio_transcript.delta', { item_id: 'a', delta: `${n} ` });
  }
  const rows = told.store.state.log.rows.map(({ type, count, bytes, text }) => [type, count, bytes, text]);
  assert.deepEqual(rows, [
    ['input_audio_buffer.append', 5, 9600, ''],
    ['input_audio_buffer.speech_started', 1, 0, ''],
    ['input_audio_buffer.append', 3, 5760, ''],
    ['response.output_audio.delta', 3, 14400, ''],
    ['response.output_audio_transcript.delta', 3, 0, '6 7 8 '],
  ]);
  assert.equal(told.store.state.log.rows[0].event.audio, '1920 bytes');
});

test('the log can be searched, paused and exported', () => {
  const told = telling();
  told.client(1000, 'response.create', { response: { instructions: 'Sing.' } });
  told.server(1500, 'error', { error: { message: 'No.', code: 'no', event_id: null } });
  const { rows } = told.store.state.log;
  assert.deepEqual([{ from: '', search: 'sing' }, { from: 'errors', search: '' }, { from: 'client', search: 'error' }].map((wanted) => found(rows, wanted).length), [1, 1, 0]);
  told.store.dispatch({ kind: 'log-paused', paused: true });
  told.server(1600, 'input_audio_buffer.cleared');
  assert.deepEqual([told.store.state.log.rows.length, told.store.state.log.missed], [2, 1]);
  const lines = exported(told.store.state.log, { url: 'http://x', began: 'then', version: '1' }).trim().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(lines[0], { version: '1', log: { client: 'console', url: 'http://x', began: 'then', dropped: 0 } });
  assert.deepEqual([lines[1].now, lines[1].from, lines[1].event.type], [1, 'client', 'response.create']);
});

test('half an hour of conversation does not grow without bound', () => {
  const told = telling();
  for (let turn = 0; turn < 600; turn += 1) {
    const at = turn * 3000;
    for (let n = 0; n < 75; n += 1) told.client(at + 40 * n, 'input_audio_buffer.append', { audio: audio(1) });
    told.server(at, 'input_audio_buffer.speech_started', { item_id: `u${turn}`, audio_start_ms: turn });
    for (let n = 0; n < 5; n += 1) told.server(at, 'rate_limits.updated', { rate_limits: [] });
    spokenAnswer(told, `resp_${turn}`, at, ['Some ', 'words.'], 100);
  }
  const { items, turns, log } = told.store.state;
  assert.equal(items.length, MAX_ITEMS);
  assert.equal(turns.list.length, MAX_TURNS);
  assert.ok(log.rows.length <= MAX_ROWS && log.dropped > 0);
  assert.ok(turns.clock.marks.length < 2000 && Object.keys(turns.responseOf).length < 100 && Object.keys(log.open).length < 100);
});
