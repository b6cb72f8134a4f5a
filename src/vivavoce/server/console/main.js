// @ts-check
/** Puts the parts together: one store, the line to the server, the dialogue, and views that draw what the store holds. */

import { Line } from './net/line.js';
import { WISHES } from './session/presets.js';
import { Store } from './state/store.js';
import { Dialogue } from './talk/dialogue.js';
import { PAGE_TOOLS } from './tools/page_tools.js';
import { accounts } from './view/accounts.js';
import { conversation } from './view/conversation.js';
import { codeDialog, keyDialog } from './view/dialogs.js';
import { dock } from './view/dock.js';
import { header } from './view/header.js';
import { log } from './view/log.js';
import { notices } from './view/notices.js';
import { pageTools } from './view/page_tools.js';
import { panels } from './view/panels.js';
import { session } from './view/session.js';
import { tools } from './view/tools.js';
import { waveform } from './view/waveform.js';

/** For the tests, and for whoever looks at it in the browser's own console. */
export const store = new Store();
const line = new Line(store, new URL('.', document.baseURI), { ...WISHES, tools: PAGE_TOOLS.map(({ tool }) => tool) });
const dialogue = new Dialogue(store, line, waveform());
line.listen({ opened: () => void dialogue.opened(), received: (event) => dialogue.received(event) });

/** @param {Record<string, any>} patch */
const update = (patch) => line.update(patch);
const views = [
  header({ useModel: (model) => line.useModel(model), restart: () => line.restart() }),
  notices((id) => store.dispatch({ kind: 'dismiss', id })),
  conversation((callId, output) => dialogue.answerCall(callId, output)),
  dock(dialogue, update),
  session(update),
  tools(update),
  log((action) => store.dispatch(action)),
  pageTools(),
  accounts(),
  keyDialog((key) => line.unlock(key)),
];
codeDialog(() => store.state);
panels();

// Many events may come between two frames: they are drawn together. A hidden page gets no frames, and needs none.
let isDue = false;
store.watch(() => {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    for (const view of views) view(store.state);
  });
});

void line.start();
