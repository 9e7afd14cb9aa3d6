/**
 * The page `/embed`, which other pages show in a frame: one program that can be run. Its address
 * has the options and the program. The page is sandboxed, so it keeps nothing and knows nobody.
 */

import "./embed.css";
import type { LiveCode } from "../editor/element.js";
import { translatePage } from "../page/translate.js";
import { loadWords } from "../words/choose.js";
import { words } from "../words/words.js";
import { reportHeight } from "./frame-height.js";
import { isOption, programIn } from "./program.js";

const notice = document.getElementById("notice") as HTMLElement;
const options = new URLSearchParams(location.search);

/** The attributes of `<live-code>` that an option of the same name sets. */
const ATTRIBUTES = ["runtime", "language", "timeout", "layout"];

async function showProgram(editor: LiveCode): Promise<void> {
  try {
    const { runtime, program } = await programIn(location.hash, options);
    if (notice.textContent === words.damagedProgram) notice.textContent = "";
    if (editor.session) editor.leave();
    editor.load(runtime, program);
    document.title = words.programIn(runtime);
  } catch {
    notice.textContent = words.damagedProgram;
  }
}

async function start(): Promise<void> {
  await loadWords();
  translatePage();
  const root = document.documentElement;
  const theme = options.get("theme");
  if (theme) root.dataset.theme = theme;
  const pass = document.querySelector<HTMLMetaElement>("meta[name=livecode-pass]")?.content;
  await customElements.whenDefined("live-code");
  const editor = document.createElement("live-code") as LiveCode;
  for (const name of ATTRIBUTES) {
    const value = options.get(name);
    if (value) editor.setAttribute(name, value);
  }
  if (pass) editor.token = pass;
  else {
    editor.setAttribute("visitor", "");
    notice.textContent = words.noGuests;
  }
  document.getElementById("place")?.append(editor);
  if (isOption(options, "resize") && parent !== window) {
    root.dataset.resize = "";
    reportHeight(document.body, parent);
  }
  await showProgram(editor);
  addEventListener("hashchange", () => void showProgram(editor));
}

void start();
