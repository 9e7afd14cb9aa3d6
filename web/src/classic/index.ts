/** The classic script `/static/livecode.js`: it is no module, and defines two globals. */

import { LiveCodeEditor } from "./editor.js";
import { LiveCodeSession, scriptOrigin } from "./session.js";

Object.assign(globalThis, { LiveCodeSession, LiveCodeEditor });

/** The editor is a file of its own, and loaded where the page wants it: by its own elements, or by what the script's tag says. */
const wanted = (document.currentScript as HTMLElement | null)?.dataset;

async function loadEditor(): Promise<void> {
  const selector = wanted?.selector ?? (wanted?.runtime && "pre");
  if (!scriptOrigin || !(selector || document.querySelector("live-code"))) return;
  const address = `${scriptOrigin}/static/livecode-editor.js`;
  const { upgrade } = (await import(/* @vite-ignore */ address)) as typeof import("../editor/index.js");
  if (selector) upgrade(selector, { runtime: wanted?.runtime ?? "python", server: scriptOrigin });
}

if (document.readyState === "loading") addEventListener("DOMContentLoaded", () => void loadEditor());
else void loadEditor();
