// @ts-check
/**
 * What was used, and what is left of the key's limits.
 *
 * @typedef {import('../wire.js').Usage} Usage
 * @typedef {{responses: number, inputText: number, inputAudio: number, cached: number, outputText: number,
 *   outputAudio: number}} Sums Tokens, but for `responses`.
 * @typedef {{sums: Sums, last: Usage | null, limits: import('../wire.js').RateLimit[]}} Accounts
 */

/** @returns {Accounts} */
export function emptyAccounts() {
  const sums = { responses: 0, inputText: 0, inputAudio: 0, cached: 0, outputText: 0, outputAudio: 0 };
  return { sums, last: null, limits: [] };
}

/**
 * @param {Accounts} accounts
 * @param {import('./state.js').Action} action
 * @returns {Accounts}
 */
export function accountsAfter(accounts, action) {
  if (action.kind !== 'received') return accounts;
  const { event } = action;
  if (event.type === 'rate_limits.updated') return { ...accounts, limits: event.rate_limits };
  if (event.type !== 'response.done') return accounts;
  const { usage } = event.response;
  return { ...accounts, last: usage, sums: added(accounts.sums, usage) };
}

/**
 * @param {Sums} sums
 * @param {Usage} usage
 * @returns {Sums}
 */
function added(sums, { input_token_details: input, output_token_details: output }) {
  return {
    responses: sums.responses + 1,
    inputText: sums.inputText + input.text_tokens,
    inputAudio: sums.inputAudio + input.audio_tokens,
    cached: sums.cached + input.cached_tokens,
    outputText: sums.outputText + output.text_tokens,
    outputAudio: sums.outputAudio + output.audio_tokens,
  };
}
