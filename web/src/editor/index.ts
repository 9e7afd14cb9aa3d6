/** The editor `/static/livecode-editor.js`: defines `<live-code>`, and upgrades other elements. */

import { loadWords } from "../words/choose.js";
import { LiveCode } from "./element.js";

export { LiveCode } from "./element.js";

// An element shows words as soon as it is defined.
await loadWords();
if (!customElements.get("live-code")) customElements.define("live-code", LiveCode);

/** Replaces every element that a selector matches, e.g. `pre`, by an editor with its text. */
export function upgrade(
  selector: string,
  defaults: { runtime: string; server?: string },
): LiveCode[] {
  const matching = [...document.querySelectorAll<HTMLElement>(selector)];
  const elements = matching.filter((element) => !element.closest("live-code"));
  return elements.map((element) => {
    const live = document.createElement("live-code") as LiveCode;
    // Syntax highlighters name the language in a class of the element or of a `code` inside it.
    const classes = `${element.className} ${element.querySelector("code")?.className ?? ""}`;
    const language = /\blanguage-([\w+-]+)/.exec(classes)?.[1];
    live.setAttribute("runtime", element.dataset.runtime ?? language ?? defaults.runtime);
    if (defaults.server) live.setAttribute("server", defaults.server);
    live.textContent = element.textContent;
    element.replaceWith(live);
    return live;
  });
}
