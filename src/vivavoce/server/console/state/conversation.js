// @ts-check
/**
 * The conversation as a list of items.
 *
 * Words come faster than they are spoken. Each item keeps marks, pairs of a length of text and the audio that had come by
 * then, so that the page can show how far the voice has got: `spokenLength`.
 *
 * @typedef {{length: number, ms: number}} Mark Text up to `length` was known when `ms` of audio had come.
 * @typedef {object} Item
 * @property {string} id
 * @property {'message' | 'call' | 'output' | 'break' | 'failure'} kind `break`: a new session began here. `failure`: a response
 *   failed with this text.
 * @property {'user' | 'assistant' | 'system'} role
 * @property {string} text What is said; of a call its arguments, of an output the output.
 * @property {'listening' | 'in_progress' | 'completed' | 'incomplete'} status
 * @property {boolean} spoken It was or will be heard, not typed.
 * @property {string} responseId Of what the assistant says; else empty.
 * @property {string} callId
 * @property {string} name Of the function.
 * @property {number} audioMs Audio received so far, handed to the loudspeaker.
 * @property {number} heardMs Audio played so far.
 * @property {boolean} cut Playback was stopped at `heardMs`.
 * @property {Mark[]} marks
 */

/** @typedef {import('./state.js').Action} Action */
/** @typedef {import('../wire.js').WireItem} WireItem */

export const MAX_ITEMS = 300;
/** What an item may show. The log has the rest. */
export const MAX_TEXT = 20_000;

/**
 * @param {Item[]} items
 * @param {Action} action
 * @returns {Item[]}
 */
export function itemsAfter(items, action) {
  switch (action.kind) {
    case 'received':
      return afterEvent(items, action.event).slice(-MAX_ITEMS);
    case 'opened':
      return items.length === 0 || items.at(-1)?.kind === 'break' ? items : [...items.map(broken), separation(action.at)];
    case 'queued':
      return changed(items, action.itemId, (item) => ({ audioMs: item.audioMs + action.ms, spoken: true }));
    case 'played':
      return changed(items, action.itemId, () => ({ heardMs: action.ms }));
    case 'cut':
      return action.heard.reduce((all, { itemId, ms }) => changed(all, itemId, () => ({ heardMs: ms, cut: true })), items);
    default:
      return items;
  }
}

/**
 * @param {Item[]} items
 * @param {import('../wire.js').ServerEvent} event
 * @returns {Item[]}
 */
function afterEvent(items, event) {
  switch (event.type) {
    case 'input_audio_buffer.speech_started':
      return [...items, { ...blank(event.item_id), role: 'user', status: 'listening', spoken: true }];
    case 'input_audio_buffer.cleared':
      return items.filter((item) => item.status !== 'listening');
    case 'conversation.item.added':
      return added(items, event.item, event.previous_item_id);
    case 'conversation.item.done':
      return changed(items, event.item.id, (item) => finished(item, event.item));
    case 'conversation.item.deleted':
      return items.filter((item) => item.id !== event.item_id);
    case 'conversation.item.truncated':
      return changed(items, event.item_id, () => ({ heardMs: event.audio_end_ms, cut: true }));
    case 'conversation.item.input_audio_transcription.completed':
      return changed(items, event.item_id, () => ({ text: event.transcript.trim(), status: 'completed' }));
    case 'conversation.item.input_audio_transcription.failed':
      return changed(items, event.item_id, () => ({ text: `(${event.error.message})`, status: 'completed' }));
    default:
      return afterAnswer(items, event);
  }
}

/**
 * The part of `afterEvent` that is about growing and ending.
 * @param {Item[]} items
 * @param {import('../wire.js').ServerEvent} event
 * @returns {Item[]}
 */
function afterAnswer(items, event) {
  switch (event.type) {
    case 'response.output_item.added':
      return added(items, event.item, null, event.response_id);
    case 'conversation.item.input_audio_transcription.delta':
      return changed(items, event.item_id, (item) => ({ text: item.text + event.delta }));
    case 'response.output_text.delta':
    case 'response.function_call_arguments.delta':
      return changed(items, event.item_id, (item) => ({ text: (item.text + event.delta).slice(0, MAX_TEXT) }));
    case 'response.output_audio_transcript.delta':
      return changed(items, event.item_id, (item) => withWords(item, event.delta));
    case 'response.done':
      return afterResponse(items, event.response);
    default:
      return items;
  }
}

/**
 * @param {Item[]} items
 * @param {string} id
 * @param {(item: Item) => Partial<Item>} change
 */
function changed(items, id, change) {
  const index = items.findLastIndex((item) => item.id === id);
  return index < 0 ? items : items.with(index, { ...items[index], ...change(items[index]) });
}

/**
 * @param {Item} item
 * @param {string} delta
 * @returns {Partial<Item>}
 */
function withWords(item, delta) {
  const text = (item.text + delta).slice(0, MAX_TEXT);
  return { text, spoken: true, marks: [...item.marks, { length: item.text.length, ms: item.audioMs }] };
}

/**
 * An item enters the list, or takes its place: what the assistant says is announced twice, once by its response.
 * @param {Item[]} items
 * @param {WireItem} wire
 * @param {string | null} previousId
 * @param {string} [responseId]
 */
function added(items, wire, previousId, responseId) {
  const old = items.find((item) => item.id === wire.id);
  const item = { ...(old ?? blank(wire.id)), ...shown(wire), ...(responseId && { responseId }) };
  const others = items.filter((other) => other !== old);
  const after = others.findLastIndex((other) => other.id === previousId);
  // The items before it may have left the list; then it belongs at the end, as nearly all do.
  return after < 0 ? [...others, item] : others.toSpliced(nextSlot(others, after + 1), 0, item);
}

/**
 * A failure stays with the answer that it belongs to, also where an item is inserted behind that answer.
 * @param {Item[]} items
 * @param {number} index
 */
function nextSlot(items, index) {
  while (items[index]?.kind === 'failure') index += 1;
  return index;
}

/**
 * What the wire tells of an item.
 * @param {WireItem} wire
 * @returns {Partial<Item>}
 */
function shown(wire) {
  const status = wire.status === 'in_progress' || wire.status === 'incomplete' ? wire.status : 'completed';
  if (wire.type === 'function_call') {
    const { name = '', call_id: callId = '', arguments: text = '' } = wire;
    return { kind: 'call', role: 'assistant', status, name, callId, text };
  }
  if (wire.type === 'function_call_output') {
    return { kind: 'output', role: 'user', status, callId: wire.call_id ?? '', text: (wire.output ?? '').slice(0, MAX_TEXT) };
  }
  const spoken = (wire.content ?? []).some((part) => part.type.endsWith('audio'));
  return { kind: 'message', role: wire.role ?? 'user', status, spoken, text: words(wire) };
}

/** @param {WireItem} wire */
function words(wire) {
  const said = (wire.content ?? []).map((part) => part.text ?? part.transcript ?? '');
  return said.filter(Boolean).join(' ').slice(0, MAX_TEXT);
}

/**
 * The end of an item: its words as the server has them, if it has any.
 * @param {Item} item
 * @param {WireItem} wire
 * @returns {Partial<Item>}
 */
function finished(item, wire) {
  const last = shown(wire);
  return { ...last, text: last.text || item.text, spoken: last.spoken || item.spoken };
}

/**
 * @param {Item[]} items
 * @param {import('../wire.js').Response} response
 */
function afterResponse(items, { id, status, status_details: details }) {
  const closed = items.map((item) =>
    item.responseId === id && item.status === 'in_progress' ? { ...item, status: /** @type {const} */ ('incomplete') } : item,
  );
  if (status !== 'failed') return closed;
  const text = details?.error?.message ?? 'The response failed.';
  return [...closed, { ...blank(`failure of ${id}`), kind: /** @type {const} */ ('failure'), responseId: id, text }];
}

/**
 * @param {string} id
 * @returns {Item}
 */
function blank(id) {
  return {
    id,
    kind: 'message',
    role: 'assistant',
    text: '',
    status: 'completed',
    spoken: false,
    responseId: '',
    callId: '',
    name: '',
    audioMs: 0,
    heardMs: 0,
    cut: false,
    marks: [],
  };
}

/**
 * What a lost connection leaves of an item that was still growing.
 * @param {Item} item
 * @returns {Item}
 */
function broken(item) {
  return item.status === 'in_progress' || item.status === 'listening' ? { ...item, status: 'incomplete' } : item;
}

/**
 * @param {number} at
 * @returns {Item}
 */
function separation(at) {
  return { ...blank(`break at ${at}`), kind: 'break', text: 'A new session: the server does not know what was said before.' };
}

/**
 * How much of an item's text has been spoken, in characters: between two marks as far as the audio between them has got.
 * @param {Item} item
 * @returns {number}
 */
export function spokenLength(item) {
  const done = item.status !== 'in_progress' && item.heardMs >= item.audioMs;
  if (!item.spoken || item.role !== 'assistant' || (done && !item.cut)) return item.text.length;
  const next = item.marks.findIndex((mark) => mark.ms > item.heardMs);
  const from = item.marks.at(next < 0 ? -1 : next - 1) ?? { length: 0, ms: 0 };
  const to = next < 0 ? { length: item.text.length, ms: item.audioMs } : item.marks[next];
  const share = to.ms > from.ms ? Math.min(1, (item.heardMs - from.ms) / (to.ms - from.ms)) : 0;
  return wordEnd(item.text, from.length + share * (to.length - from.length));
}

/**
 * The end of the word that is being spoken.
 * @param {string} text
 * @param {number} length
 */
function wordEnd(text, length) {
  const whole = Math.floor(length);
  if (whole === 0 || text[whole - 1] === ' ') return whole;
  const space = text.indexOf(' ', whole);
  return space < 0 ? text.length : space + 1;
}
