/** JavaScript and TypeScript, with the names that are there in a browser as in Node.js. */

import {
  javascript,
  javascriptLanguage,
  scopeCompletionSource,
  typescriptLanguage,
} from "@codemirror/lang-javascript";
import type { Extension } from "@codemirror/state";

const GLOBALS = (
  "Array BigInt Boolean Date Error Infinity JSON Map Math NaN Number Object Promise Proxy RangeError " +
  "Reflect RegExp Set String Symbol TypeError URL Uint8Array WeakMap clearInterval clearTimeout console " +
  "fetch isNaN parseFloat parseInt queueMicrotask setInterval setTimeout structuredClone undefined"
).split(" ");

/** One of the two languages. */
export function script(typescript: boolean): Extension {
  const globals = GLOBALS.map((name) => [name, Reflect.get(globalThis, name) as unknown]);
  const autocomplete = scopeCompletionSource(Object.fromEntries(globals));
  const language = typescript ? typescriptLanguage : javascriptLanguage;
  return [javascript({ typescript }), language.data.of({ autocomplete })];
}
