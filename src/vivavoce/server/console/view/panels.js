// @ts-check
import { byId } from './dom.js';

const THEMES = ['system', 'light', 'dark'];

/** Tabs, on a phone the three parts of the page, and the theme. Nothing here knows of the conversation. */
export function panels() {
  tabs('inspector-tabs', (name) => {
    for (const panel of document.querySelectorAll('.inspector > section')) /** @type {HTMLElement} */ (panel).hidden = panel.id !== name;
  });
  tabs('parts', (name) => void (document.body.dataset.part = name));
  theme();
}

/**
 * @param {string} id A tab list; each tab names its panel in `data-panel`.
 * @param {(name: string) => void} show
 */
function tabs(id, show) {
  const list = /** @type {HTMLElement[]} */ ([...byId(id).querySelectorAll('[role=tab]')]);
  /** @param {HTMLElement} chosen */
  const choose = (chosen) => {
    for (const tab of list) {
      tab.setAttribute('aria-selected', String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
    }
    show(chosen.dataset.panel ?? '');
  };
  list.forEach((tab, index) => {
    tab.addEventListener('click', () => choose(tab));
    tab.addEventListener('keydown', ({ key }) => {
      const step = key === 'ArrowRight' ? 1 : key === 'ArrowLeft' ? -1 : 0;
      if (!step) return;
      const next = list[(index + step + list.length) % list.length];
      next.focus();
      choose(next);
    });
  });
  choose(list[0]);
}

function theme() {
  const button = byId('theme');
  const show = (/** @type {string} */ name) => {
    button.dataset.theme = name;
    button.setAttribute('aria-label', `Theme: ${name}`);
    button.title = `Theme: ${name}`;
  };
  show(document.documentElement.dataset.theme ?? 'system');
  button.addEventListener('click', () => {
    const next = THEMES[(THEMES.indexOf(button.dataset.theme ?? '') + 1) % THEMES.length];
    if (next === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    localStorage.setItem('theme', next);
    show(next);
  });
}
