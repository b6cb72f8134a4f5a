// @ts-check
/** The HTTP side: is there a server, does it want a key, and a short-lived secret in exchange for one. */

const SECRET_SECONDS = 7200;

/** The server answered, and it was a no. */
export class Refused extends Error {
  /**
   * @param {number} status
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/**
 * The names of the models. Throws `Refused` with status 401 where a key is needed, or is wrong.
 * @param {URL} base
 * @param {string} [key]
 * @returns {Promise<string[]>}
 */
export async function models(base, key) {
  const answer = await ask(new URL('v1/models', base), { headers: key ? { authorization: `Bearer ${key}` } : {} });
  return answer.data.map((/** @type {{id: string}} */ model) => model.id);
}

/**
 * Exchange a key for a client secret, which opens sessions for two hours and does nothing else.
 * @param {URL} base
 * @param {string} key
 * @returns {Promise<{value: string, expiresAt: number}>} `expiresAt` in Unix seconds.
 */
export async function exchange(base, key) {
  const body = { expires_after: { anchor: 'created_at', seconds: SECRET_SECONDS }, session: { type: 'realtime' } };
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const url = new URL('v1/realtime/client_secrets', base);
  const answer = await ask(url, { method: 'POST', headers, body: JSON.stringify(body) });
  return { value: answer.value, expiresAt: answer.expires_at };
}

/**
 * How long the server takes to answer when nothing is to be done, and which version it is.
 * @param {URL} base
 */
export async function roundTrip(base) {
  const began = performance.now();
  const { version } = await ask(new URL('health', base), {});
  return { roundTripMs: performance.now() - began, version: String(version) };
}

/**
 * @param {URL} url
 * @param {RequestInit} options
 */
async function ask(url, options) {
  const answer = await fetch(url, { ...options, cache: 'no-store', credentials: 'omit' });
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, content.error?.message ?? `The server answered with status ${answer.status}.`);
  return content;
}
