// What half an hour of conversation does to the page; the number of its elements afterwards.
async () => {
  const { store } = await import('/console/main.js');
  const at = () => performance.now();
  const receive = (type, fields) => store.dispatch({ kind: 'received', at: at(), event: { type, event_id: 'e', ...fields } });
  const audio = btoa('x'.repeat(1920));
  for (let turn = 0; turn < 600; turn += 1) {
    const [user, item, response] = [`user ${turn}`, `item ${turn}`, `resp ${turn}`];
    for (let n = 0; n < 75; n += 1) store.dispatch({ kind: 'sent', at: at(), event: { type: 'input_audio_buffer.append', audio } });
    receive('input_audio_buffer.speech_started', { item_id: user, audio_start_ms: turn });
    receive('conversation.item.input_audio_transcription.completed', { item_id: user, transcript: `Question ${turn}?` });
    const wire = { id: item, type: 'message', role: 'assistant', status: 'in_progress', content: [] };
    receive('response.created', { response: { id: response, status: 'in_progress', output: [] } });
    receive('response.output_item.added', { response_id: response, item: wire });
    for (let n = 0; n < 30; n += 1) {
      receive('response.output_audio_transcript.delta', { response_id: response, item_id: item, delta: `word ${n} ` });
      receive('response.output_audio.delta', { response_id: response, item_id: item, delta: audio });
      store.dispatch({ kind: 'queued', itemId: item, ms: 40 });
      store.dispatch({ kind: 'played', itemId: item, ms: 40 * n, ended: n === 29, at: at() });
    }
    receive('conversation.item.done', { item: { ...wire, status: 'completed' }, previous_item_id: user });
    for (let n = 0; n < 5; n += 1) receive('rate_limits.updated', { rate_limits: [] });
    if (turn % 20 === 0) await new Promise((resolve) => requestAnimationFrame(resolve));
  }
  await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  return document.getElementsByTagName('*').length;
}
