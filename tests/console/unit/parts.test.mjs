import assert from 'node:assert/strict';
import test from 'node:test';
import { decodeAlaw, decodeUlaw, encodeAlaw, encodeUlaw, fromBase64, pcmBytes, pcmSamples, toBase64 } from '../../../src/vivavoce/server/console/audio/pcm.js';
import { Resampler } from '../../../src/vivavoce/server/console/audio/resampler.js';
import { Decoder, Encoder } from '../../../src/vivavoce/server/console/audio/wire_audio.js';
import { SNIPPETS, pythonValue } from '../../../src/vivavoce/server/console/code/snippets.js';
import { FIELDS } from '../../../src/vivavoce/server/console/session/fields.js';
import { PRESETS } from '../../../src/vivavoce/server/console/session/presets.js';
import { TONES, toneOf, withTone } from '../../../src/vivavoce/server/console/session/tone.js';
import { merged, paths } from '../../../src/vivavoce/server/console/state/configuration.js';
import { PAGE_TOOLS } from '../../../src/vivavoce/server/console/tools/page_tools.js';
import { misfits, readTool } from '../../../src/vivavoce/server/console/tools/schema.js';
import { weatherIn } from '../../../src/vivavoce/server/console/tools/weather.js';
import { sessionOf } from './console.mjs';

// --- sound ---

test('samples survive the wire', () => {
  const samples = Int16Array.from([0, 1, -1, 32767, -32768, 1234]);
  assert.deepEqual(pcmSamples(fromBase64(toBase64(pcmBytes(samples)))), samples);
});

test('G.711 by its table', () => {
  const known = [[0, 0xff, 0xd5], [1000, 0xce, 0xfa], [-1000, 0x4e, 0x7a], [32767, 0x80, 0xaa], [-32768, 0x00, 0x2a], [8, 0xfe, 0xd5]];
  for (const [sample, ulaw, alaw] of known) {
    assert.deepEqual([encodeUlaw(sample), encodeAlaw(sample)], [ulaw, alaw], `${sample}`);
  }
  for (let byte = 0; byte < 256; byte += 1) {
    assert.equal(encodeAlaw(decodeAlaw(byte)), byte);
    if (byte !== 0x7f) assert.equal(encodeUlaw(decodeUlaw(byte)), byte); // 0x7f is minus zero.
  }
});

const tone = (hz, rate, seconds) => Float32Array.from({ length: rate * seconds }, (_, n) => 0.5 * Math.sin((2 * Math.PI * hz * n) / rate));
const power = (samples) => Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length);

test('resampling in pieces is resampling at once', () => {
  const input = tone(700, 48000, 0.5);
  const whole = new Resampler(48000, 24000).feed(input);
  const stream = new Resampler(48000, 24000);
  const pieces = [];
  for (let start = 0; start < input.length; start += 128) pieces.push(...stream.feed(input.subarray(start, start + 128)));
  assert.ok(Math.abs(whole.length - 12000) < 40);
  assert.deepEqual(Float32Array.from(pieces), whole.slice(0, pieces.length));
});

test('resampling keeps what fits and removes what does not', () => {
  const middle = (samples) => samples.slice(200, -200);
  assert.ok(Math.abs(power(middle(new Resampler(44100, 24000).feed(tone(1000, 44100, 1)))) - 0.3535) < 0.004);
  assert.ok(power(middle(new Resampler(24000, 8000).feed(tone(6000, 24000, 1)))) < 0.01);
});

test('a telephone call through both codecs is recognisable', () => {
  for (const type of ['audio/pcmu', 'audio/pcma']) {
    const samples = Int16Array.from(tone(440, 24000, 1), (value) => value * 32767);
    const back = new Decoder({ type }).feed(new Encoder({ type }).feed(samples));
    assert.ok(Math.abs(back.length - samples.length) < 300);
    assert.ok(Math.abs(power(back.slice(600, -600)) - power(samples)) / power(samples) < 0.03);
  }
});

// --- the session ---

test('each field changes what it shows, and nothing else', () => {
  const values = { slider: 0.5, number: 6000, switch: true, text: 'x', words: 'x', suggest: 'coral' };
  for (const field of FIELDS) {
    const session = field.id.includes('eagerness') ? sessionOf({ turn_detection: { type: 'semantic_vad', eagerness: 'auto' } }) : sessionOf({ transcription: { model: 'm' } });
    assert.ok(!field.when || field.when(session), field.id);
    const value = field.kind === 'select' ? field.options.at(-1)[0] : values[field.kind];
    const changed = merged(session, field.patch(value, session));
    assert.equal(field.get(changed), value, field.id);
    const allowed = field.id === 'instructions.tone' ? ['instructions'] : [field.id.replace(/\.type$/, ''), field.id.replace(/\.[^.]*$/, '.type')];
    for (const path of paths(field.patch(value, session))) assert.ok(allowed.some((prefix) => path.startsWith(prefix)), `${field.id} changes ${path}`);
  }
});

test('presets say nothing that the session does not have', () => {
  const known = new Set([...paths(sessionOf({ transcription: { model: 'm' } })), 'audio.input.turn_detection.eagerness']);
  for (const { name, patch } of PRESETS) for (const path of paths(patch)) assert.ok(known.has(path), `${name}: ${path}`);
});

test('the tone is one line of the instructions', () => {
  const first = withTone('You are a pilot.', 'calm');
  assert.deepEqual([toneOf(first), toneOf('You are calm.')], ['calm', '']);
  assert.equal(withTone(withTone(first, 'whispering'), ''), 'You are a pilot.');
  for (const tone of TONES) assert.equal(toneOf(withTone('x', tone)), tone);
});

// --- tools ---

test('a tool that is written wrong is told where', () => {
  const problems = (tool) => readTool(typeof tool === 'string' ? tool : JSON.stringify(tool)).problems;
  for (const { tool } of PAGE_TOOLS) assert.deepEqual(problems(tool), []);
  assert.match(problems('{')[0], /^Not JSON/);
  assert.deepEqual(problems({ name: 'a b', strict: true, parameters: { type: 'object', properties: { x: { type: 'text' } }, required: ['y'] } }), [
    'strict: a tool has no such field.',
    'name: 1 to 64 letters, digits, _ or -.',
    'parameters.properties.x.type: "text" is none of string, number, integer, boolean, object, array, null.',
    'parameters.required: there is no property "y".',
  ]);
});

test('arguments that do not fit are told where', () => {
  const schema = { type: 'object', properties: { n: { type: 'integer', minimum: 1 }, of: { type: 'array', items: { enum: ['a'] } } }, required: ['n'] };
  assert.deepEqual(misfits({ n: 3, of: ['a'] }, schema), []);
  assert.deepEqual(misfits({ n: 0, of: ['b'] }, schema), ['arguments.n: must be at least 1.', 'arguments.of[0]: must be one of a.']);
  assert.deepEqual(misfits({}, schema), ['arguments.n: is missing.']);
});

test('the weather is made up, and the same all day', () => {
  assert.deepEqual(weatherIn('Paris', 'today'), weatherIn('Paris', 'today'));
  const { x, y } = weatherIn('paris, France', 'today');
  assert.deepEqual([x, y], [2, 49]);
});

// --- code ---

test('values as Python writes them', () => {
  assert.equal(pythonValue({ a: [true, null], b: 'x"' }), '{\n    "a": [\n        True,\n        None,\n    ],\n    "b": "x\\"",\n}');
});

test('no snippet holds a key', () => {
  for (const snippet of Object.values(SNIPPETS)) {
    const text = snippet({ url: 'http://h/', model: 'm', changes: { instructions: "It's" }, needsKey: true });
    assert.match(text, /OPENAI_API_KEY|CLIENT_SECRET/);
  }
});
