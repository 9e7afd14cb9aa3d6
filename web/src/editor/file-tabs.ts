/** The tabs by which one of several files is chosen. */

import { words } from "../words/words.js";
import { createElement } from "./create-element.js";
import { UNNAMED_FILE } from "./program.js";

export class FileTabs {
  readonly element = createElement("div", {
    class: "tabs",
    role: "tablist",
    "aria-label": words.files,
    hidden: "",
  });
  #names: string[] = [];

  constructor(
    /** The element that shows the chosen file. */
    private readonly panel: Element,
    private readonly onChoose: (name: string) => void,
  ) {
    this.element.addEventListener("keydown", (event) => {
      const { key } = event;
      const isSelected = (tab: Element) => tab.getAttribute("aria-selected") === "true";
      const at = [...this.element.children].findIndex(isSelected);
      const { length } = this.#names;
      const next = {
        ArrowRight: (at + 1) % length,
        ArrowLeft: (at - 1 + length) % length,
        Home: 0,
        End: length - 1,
      }[key];
      if (next === undefined) return;
      event.preventDefault();
      this.choose(next);
      this.element.querySelector<HTMLElement>("[aria-selected=true]")?.focus();
    });
  }

  /** Shows the tabs of these files. A single file needs none. */
  set(names: string[]): void {
    this.#names = names;
    const { element, panel } = this;
    element.hidden = names.length < 2;
    if (element.hidden) {
      element.replaceChildren();
      panel.removeAttribute("role");
      panel.removeAttribute("aria-label");
      return;
    }
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-label", words.file);
    const attributes = { type: "button", role: "tab", "aria-controls": panel.id };
    const tabs = names.map((name, index) => {
      const tab = createElement("button", attributes, name || UNNAMED_FILE);
      tab.addEventListener("click", () => this.choose(index));
      return tab;
    });
    element.replaceChildren(...tabs);
    this.choose(0);
  }

  /** Chooses the file with this name, if there is one. */
  chooseNamed(name: string): void {
    this.choose(this.#names.indexOf(name));
  }

  /** Chooses the file with this index. */
  choose(index: number): void {
    const name = this.#names[index];
    if (name === undefined) return;
    this.onChoose(name);
    [...this.element.children].forEach((tab, at) => {
      tab.setAttribute("aria-selected", String(at === index));
      tab.setAttribute("tabindex", at === index ? "0" : "-1");
    });
  }
}
