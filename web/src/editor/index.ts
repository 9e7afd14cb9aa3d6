/** The editor `/static/livecode-editor.js`: defines `<live-code>`, and makes such of what a page has. */

import { LiveCode } from "./element.js";

export { LiveCode } from "./element.js";

if (!customElements.get("live-code")) customElements.define("live-code", LiveCode);

/** Turns every element that a selector finds, e.g. `pre`, into an editor of its text. */
export function upgrade(selector: string, defaults: { runtime: string; server?: string }): LiveCode[] {
  const elements = [...document.querySelectorAll<HTMLElement>(selector)].filter((element) => !element.closest("live-code"));
  return elements.map((element) => {
    const live = document.createElement("live-code") as LiveCode;
    // As those mark a language who highlight code.
    const classes = `${element.className} ${element.querySelector("code")?.className ?? ""}`;
    const marked = /\blanguage-([\w+-]+)/.exec(classes)?.[1];
    live.setAttribute("runtime", element.dataset.runtime ?? marked ?? defaults.runtime);
    if (defaults.server) live.setAttribute("server", defaults.server);
    live.textContent = element.textContent;
    element.replaceWith(live);
    return live;
  });
}
