// @ts-check
/**
 * What a person gets wrong when they write a tool by hand, and whether arguments fit its schema. It knows the part of JSON
 * schema that function tools use; keywords that it does not know are let through.
 */

/** @typedef {import('../wire.js').FunctionTool} FunctionTool */

const TYPES = ['string', 'number', 'integer', 'boolean', 'object', 'array', 'null'];
const TOOL_KEYS = ['type', 'name', 'description', 'parameters'];

/**
 * Read a tool.
 * @param {string} text JSON.
 * @returns {{tool: FunctionTool | null, problems: string[]}} The tool if there are no problems.
 */
export function readTool(text) {
  let tool;
  try {
    tool = JSON.parse(text);
  } catch (error) {
    return { tool: null, problems: [`Not JSON: ${error instanceof Error ? error.message : error}`] };
  }
  const problems = toolProblems(tool);
  return { tool: problems.length ? null : { type: 'function', ...tool }, problems };
}

/**
 * @param {any} tool
 * @returns {string[]}
 */
function toolProblems(tool) {
  if (!isObject(tool)) return ['A tool is an object with a name, a description and parameters.'];
  const problems = Object.keys(tool)
    .filter((key) => !TOOL_KEYS.includes(key))
    .map((key) => `${key}: a tool has no such field.`);
  if (tool.type !== undefined && tool.type !== 'function') problems.push('type: must be "function".');
  if (!/^[\w-]{1,64}$/.test(tool.name ?? '')) problems.push('name: 1 to 64 letters, digits, _ or -.');
  if (tool.description !== undefined && typeof tool.description !== 'string') problems.push('description: must be text.');
  if (tool.parameters === undefined) return problems;
  if (!isObject(tool.parameters)) return [...problems, 'parameters: must be a JSON schema, an object.'];
  if (tool.parameters.type !== 'object') problems.push('parameters.type: must be "object".');
  return [...problems, ...schemaProblems(tool.parameters, 'parameters')];
}

/**
 * @param {any} schema
 * @param {string} path
 * @returns {string[]}
 */
function schemaProblems(schema, path) {
  if (typeof schema === 'boolean') return [];
  if (!isObject(schema)) return [`${path}: must be a schema, an object.`];
  const problems = [];
  const types = [schema.type ?? []].flat();
  for (const type of types) if (!TYPES.includes(type)) problems.push(`${path}.type: ${JSON.stringify(type)} is none of ${TYPES.join(', ')}.`);
  if (schema.enum !== undefined && !(Array.isArray(schema.enum) && schema.enum.length)) problems.push(`${path}.enum: must be a list.`);
  if (schema.items !== undefined) problems.push(...schemaProblems(schema.items, `${path}.items`));
  return [...problems, ...propertyProblems(schema, path)];
}

/**
 * @param {Record<string, any>} schema
 * @param {string} path
 * @returns {string[]}
 */
function propertyProblems({ properties = {}, required = [] }, path) {
  if (!isObject(properties)) return [`${path}.properties: must be an object.`];
  const problems = Object.entries(properties).flatMap(([name, inner]) => schemaProblems(inner, `${path}.properties.${name}`));
  if (!Array.isArray(required)) return [...problems, `${path}.required: must be a list of names.`];
  const unknown = required.filter((name) => !(name in properties));
  return [...problems, ...unknown.map((name) => `${path}.required: there is no property ${JSON.stringify(name)}.`)];
}

/**
 * Where arguments do not fit.
 * @param {any} value
 * @param {any} schema
 * @param {string} [path]
 * @returns {string[]}
 */
export function misfits(value, schema, path = 'arguments') {
  if (!isObject(schema)) return [];
  const types = [schema.type ?? []].flat();
  if (types.length && !types.some((type) => isOf(value, type))) return [`${path}: must be ${types.join(' or ')}.`];
  if (Array.isArray(schema.enum) && !schema.enum.includes(value)) return [`${path}: must be one of ${schema.enum.join(', ')}.`];
  if (typeof value === 'number') {
    if (value < schema.minimum) return [`${path}: must be at least ${schema.minimum}.`];
    if (value > schema.maximum) return [`${path}: must be at most ${schema.maximum}.`];
  }
  if (Array.isArray(value)) return value.flatMap((inner, n) => misfits(inner, schema.items, `${path}[${n}]`));
  if (!isObject(value)) return [];
  const absent = (schema.required ?? []).filter((/** @type {string} */ name) => !(name in value));
  const inner = Object.entries(value).flatMap(([name, field]) => misfits(field, schema.properties?.[name], `${path}.${name}`));
  return [...absent.map((/** @type {string} */ name) => `${path}.${name}: is missing.`), ...inner];
}

/**
 * @param {any} value
 * @param {string} type
 */
function isOf(value, type) {
  if (type === 'null') return value === null;
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return isObject(value);
  if (type === 'integer') return Number.isInteger(value);
  return typeof value === type;
}

/**
 * @param {any} value
 * @returns {value is Record<string, any>}
 */
function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
