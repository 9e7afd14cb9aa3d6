/**
 * The classic script `/static/livecode.js`. It is not a module, and defines the globals
 * `LiveCodeSession` and `LiveCodeEditor`.
 */

import { LiveCodeEditor } from "./editor.js";
import { LiveCodeSession, scriptOrigin } from "./session.js";

Object.assign(globalThis, { LiveCodeSession, LiveCodeEditor });

/** The `data-` attributes of the script's tag. */
const dataset = (document.currentScript as HTMLElement | null)?.dataset;

/**
 * Loads the editor, which is a file of its own, if the page has `<live-code>` elements or the
 * script's tag asks for editors.
 */
async function loadEditor(): Promise<void> {
  const selector = dataset?.selector ?? (dataset?.runtime && "pre");
  if (!scriptOrigin || !(selector || document.querySelector("live-code"))) return;
  const url = `${scriptOrigin}/static/livecode-editor.js`;
  const { upgrade } = (await import(/* @vite-ignore */ url)) as typeof import("../editor/index.js");
  if (selector) upgrade(selector, { runtime: dataset?.runtime ?? "python", server: scriptOrigin });
}

if (document.readyState === "loading")
  addEventListener("DOMContentLoaded", () => void loadEditor());
else void loadEditor();
