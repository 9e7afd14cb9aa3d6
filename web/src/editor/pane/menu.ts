/** A button with a menu, which lies above the page and needs no room in the editor. */

import { createElement } from "../create-element.js";

export interface MenuItem {
  /** Tells what the item does, as it is when the menu opens. */
  text: () => string;
  act: () => void;
  /** Whether the item is switched on, of one that can be. */
  isOn?: () => boolean;
  /** Whether the item can be chosen now; without this, always. */
  isEnabled?: () => boolean;
  /** Whether the menu stays open, because the item may be chosen several times in a row. */
  isRepeated?: boolean;
}

/** The least distance of the menu from the edge of the window, and its least width, in pixels. */
const MARGIN = 8;
const MIN_WIDTH = 220;

export class Menu {
  readonly button: HTMLButtonElement;
  readonly element: HTMLElement;
  /** Whether the focus was in the menu when that was closed. */
  #hadFocus = false;
  /** The button's place in the window when the menu was opened, in pixels. */
  #place = { x: 0, y: 0 };
  readonly #items: { item: MenuItem; button: HTMLButtonElement }[];

  /** `items` are the groups of the menu, with a line between two. */
  constructor(label: string, groups: MenuItem[][]) {
    const button = { class: "more", type: "button", "aria-haspopup": "menu", "aria-expanded": "false" };
    const dots = createElement("span", { "aria-hidden": "true" }, "⋯");
    this.button = createElement("button", { ...button, "aria-label": label, title: label }, dots);
    this.element = createElement("div", { class: "menu", role: "menu", "aria-label": label, popover: "" });
    this.#items = groups.flat().map((item) => ({ item, button: this.#createButton(item) }));
    for (const [index, group] of groups.entries()) {
      if (index > 0) this.element.append(createElement("hr", { role: "separator" }));
      const isInGroup = ({ item }: { item: MenuItem }) => group.includes(item);
      this.element.append(...this.#items.filter(isInGroup).map(({ button }) => button));
    }
    this.button.popoverTargetElement = this.element;
    this.button.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
      event.preventDefault();
      this.element.showPopover();
    });
    this.element.addEventListener("beforetoggle", (event) => {
      if ((event as ToggleEvent).newState === "open") this.#prepare();
      else this.#hadFocus = this.element.contains(this.#focused);
    });
    this.element.addEventListener("toggle", (event) => {
      const isOpen = (event as ToggleEvent).newState === "open";
      this.button.setAttribute("aria-expanded", String(isOpen));
      if (isOpen) return this.#focus(0);
      removeEventListener("scroll", this.#close, true);
      // The browser has closed the menu, and takes the focus from what is not shown any more.
      const isLost = !this.#focused || this.element.contains(this.#focused);
      if (this.#hadFocus && isLost) this.button.focus();
    });
    this.element.addEventListener("keydown", (event) => this.#handleKey(event));
  }

  #createButton(item: MenuItem): HTMLButtonElement {
    const role = item.isOn ? "menuitemcheckbox" : "menuitem";
    const button = createElement("button", { type: "button", role, tabindex: "-1" });
    button.addEventListener("click", () => {
      if (item.isEnabled?.() === false) return;
      if (!item.isRepeated) this.#close();
      item.act();
      if (item.isRepeated) this.#update();
    });
    return button;
  }

  readonly #close = (event?: Event): void => {
    // The event of a scroll may come after a click that followed that scroll. A menu that is
    // higher than the window scrolls itself. One that is closed takes no focus.
    const { x, y } = this.button.getBoundingClientRect();
    if (event && x === this.#place.x && y === this.#place.y) return;
    if (!this.element.matches(":popover-open")) return;
    this.element.hidePopover();
    if (this.#hadFocus) this.button.focus();
  };

  get #focused(): Element | null {
    return (this.element.getRootNode() as ShadowRoot).activeElement;
  }

  #update(): void {
    for (const { item, button } of this.#items) {
      button.textContent = item.text();
      if (item.isOn) button.setAttribute("aria-checked", String(item.isOn()));
      button.setAttribute("aria-disabled", String(item.isEnabled?.() === false));
    }
  }

  /** Updates the items, and places the menu below the button, or above where there is more room. */
  #prepare(): void {
    this.#update();
    const { x, y, top, bottom, right } = this.button.getBoundingClientRect();
    this.#place = { x, y };
    const { clientWidth: width, clientHeight: height } = document.documentElement;
    const { style } = this.element;
    const fromRight = Math.min(width - right, width - MIN_WIDTH - MARGIN);
    style.right = `${Math.max(MARGIN, fromRight)}px`;
    const isBelow = height - bottom >= Math.min(top, 340);
    const distance = isBelow ? bottom : height - top;
    style.top = isBelow ? `${distance + 4}px` : "auto";
    style.bottom = isBelow ? "auto" : `${distance + 4}px`;
    style.maxHeight = `${height - distance - 4 - MARGIN}px`;
    // The menu would stay where it is when the page below it moves.
    addEventListener("scroll", this.#close, true);
  }

  #focus(index: number): void {
    const { length } = this.#items;
    this.#items[(index + length) % length]?.button.focus();
  }

  #handleKey(event: KeyboardEvent): void {
    const at = this.#items.findIndex(({ button }) => button === this.#focused);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (event.key === "Tab") this.#close();
    if (next === undefined) return;
    event.preventDefault();
    this.#focus(next);
  }
}
