// @ts-check
/** Making and changing elements. No view writes HTML as text. */

/**
 * @typedef {string | Node | null | undefined | false} Child
 * @typedef {Record<string, any>} Props `on…` functions are listeners, known properties are set, the rest are attributes.
 */

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Props} [props]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  set(element, props);
  element.append(...nodes(children));
  return element;
}

/**
 * @param {string} tag
 * @param {Record<string, string | number>} [attributes]
 * @param {...Child} children
 * @returns {SVGElement}
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...nodes(children));
  return element;
}

/**
 * @param {HTMLElement} element
 * @param {Props} props
 */
export function set(element, props) {
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'class') element.className = value;
    else if (name in element && !name.startsWith('aria')) /** @type {any} */ (element)[name] = value;
    else if (value === null || value === false) element.removeAttribute(name);
    else element.setAttribute(name, value === true ? '' : value);
  }
}

/**
 * @param {Child[]} children
 * @returns {(string | Node)[]}
 */
function nodes(children) {
  return /** @type {(string | Node)[]} */ (children.filter((child) => child !== null && child !== undefined && child !== false));
}

/**
 * The element with this id; the page has it.
 * @template {HTMLElement} [Kind=HTMLElement]
 * @param {string} id
 * @returns {Kind}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`There is no #${id} in the page.`);
  return /** @type {Kind} */ (element);
}

/**
 * Set a text only where it differs: selections and screen readers are not disturbed.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Make the children of `parent` those of `list`, in order: one element for each key, made once and updated when its value is
 * another.
 * @template Value
 * @param {HTMLElement} parent
 * @param {Value[]} list
 * @param {(value: Value) => string} keyOf
 * @param {(value: Value) => {element: HTMLElement, update: (value: Value) => void}} make
 */
export function keyed(parent, list, keyOf, make) {
  const held = /** @type {any} */ (parent);
  /** @type {Map<string, {element: HTMLElement, update: (value: Value) => void, value?: Value}>} */
  const known = (held.known ??= new Map());
  const wanted = new Set(list.map(keyOf));
  for (const [key, { element }] of known) {
    if (wanted.has(key)) continue;
    element.remove();
    known.delete(key);
  }
  list.forEach((value, index) => {
    const key = keyOf(value);
    const entry = known.get(key) ?? { ...make(value), value: undefined };
    known.set(key, entry);
    if (entry.value !== value) entry.update(value);
    entry.value = value;
    if (parent.children[index] !== entry.element) parent.insertBefore(entry.element, parent.children[index] ?? null);
  });
}

/**
 * @param {string} text
 * @param {HTMLElement} button Says for a moment that it was done.
 */
export async function copy(text, button) {
  const label = button.textContent ?? '';
  const done = await navigator.clipboard.writeText(text).then(() => 'Copied', () => 'Not allowed');
  button.textContent = done;
  setTimeout(() => setText(button, label), 1200);
}

/**
 * @param {string} name
 * @param {string} text
 * @param {string} type
 */
export function download(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  h('a', { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
