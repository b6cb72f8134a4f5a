// @ts-check
/**
 * The session's configuration: as the server echoed it, and which part of it this page asked for.
 *
 * @typedef {Record<string, any>} Patch Part of a session: absent fields stay, present ones change, `null` clears.
 * @typedef {{eventId: string, patch: Patch}} Pending An update that the server has not answered yet.
 * @typedef {object} Configuration
 * @property {import('../wire.js').Session | null} session The last echo: the truth.
 * @property {Patch} changes All that was asked for and granted. Sent again to a new session, and what "copy as code" writes.
 * @property {Pending[]} pending
 * @property {{patch: Patch, message: string} | null} refused The last update, if the server refused it.
 */

/** @returns {Configuration} */
export function emptyConfiguration() {
  return { session: null, changes: {}, pending: [], refused: null };
}

/**
 * @param {Configuration} configuration
 * @param {import('./state.js').Action} action
 * @returns {Configuration}
 */
export function configurationAfter(configuration, action) {
  if (action.kind === 'sent') return afterSent(configuration, action.event);
  if (action.kind === 'opened') return { ...configuration, pending: [], refused: null };
  if (action.kind !== 'received') return configuration;
  const { event } = action;
  switch (event.type) {
    case 'session.created':
      return { ...configuration, session: event.session };
    case 'session.updated': {
      const [granted, ...pending] = configuration.pending;
      const changes = granted ? merged(configuration.changes, granted.patch) : configuration.changes;
      return { session: event.session, changes, pending, refused: null };
    }
    case 'error':
      return afterError(configuration, event.error);
    default:
      return configuration;
  }
}

/**
 * @param {Configuration} configuration
 * @param {import('../wire.js').ClientEvent} event
 */
function afterSent(configuration, event) {
  if (event.type !== 'session.update') return configuration;
  const { type: _, ...patch } = event.session;
  return { ...configuration, pending: [...configuration.pending, { eventId: event.event_id ?? '', patch }] };
}

/**
 * @param {Configuration} configuration
 * @param {import('../wire.js').WireError} error
 */
function afterError(configuration, error) {
  const refused = configuration.pending.find((update) => update.eventId === error.event_id);
  if (!refused) return configuration;
  const pending = configuration.pending.filter((update) => update !== refused);
  return { ...configuration, pending, refused: { patch: refused.patch, message: error.message } };
}

/**
 * One patch laid over another, as the server does it: objects are merged, but an object of another `type` replaces the old
 * one; lists and values replace.
 * @param {Patch} base
 * @param {Patch} patch
 * @returns {Patch}
 */
export function merged(base, patch) {
  const result = { ...base };
  for (const [key, value] of Object.entries(patch)) {
    const old = base[key];
    const mergeable = isObject(old) && isObject(value) && (value.type === undefined || value.type === old.type);
    result[key] = mergeable ? merged(old, value) : value;
  }
  return result;
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, any>}
 */
function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Where a patch changes something: `['audio.output.voice']`.
 * @param {Patch} patch
 * @param {string} [prefix]
 * @returns {string[]}
 */
export function paths(patch, prefix = '') {
  return Object.entries(patch).flatMap(([key, value]) =>
    isObject(value) ? paths(value, `${prefix}${key}.`) : [`${prefix}${key}`],
  );
}
