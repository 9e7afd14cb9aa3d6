/**
 * Finds a text in the output, and marks all places where it is. This file is loaded with the first
 * run; what the editor has already is given to it.
 */

import type { Words } from "../../words/words.js";
import type { createElement } from "../create-element.js";
import type { adoptStyle } from "../style.js";
import { FIND_STYLE } from "./find-style.js";

/** The number of places that are marked. */
const MAX_MATCHES = 1000;
/** The time for which new output is not searched, so that a flood costs little, in milliseconds. */
const REFRESH_MS = 300;

/** The names of the marks in the style sheet. */
const ALL = "livecode-found";
const CURRENT = "livecode-found-current";

interface Highlights {
  get(name: string): Set<AbstractRange> | undefined;
  set(name: string, ranges: Set<AbstractRange>): void;
}

/** The ranges that the page marks under a name; undefined in a browser that cannot mark any. */
function highlightsOf(name: string): Set<AbstractRange> | undefined {
  const { highlights } = CSS as unknown as { highlights?: Highlights };
  if (!highlights) return undefined;
  const known = highlights.get(name);
  if (known) return known;
  const made = new Highlight() as unknown as Set<AbstractRange>;
  highlights.set(name, made);
  return made;
}

/** The places of a text in an element, however many nodes they cross. Case does not matter. */
function rangesOf(element: Element, text: string): Range[] {
  const nodes: Text[] = [];
  const starts: number[] = [];
  let content = "";
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode as Text;
    nodes.push(node);
    starts.push(content.length);
    content += node.data;
  }
  const ranges: Range[] = [];
  const pattern = new RegExp(text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&"), "giu");
  let at = 0;
  // The node that has the character at a place; places are asked for in ascending order.
  const locate = (place: number): [node: Text, offset: number] => {
    while (at + 1 < nodes.length && (starts[at + 1] as number) <= place) at++;
    return [nodes[at] as Text, place - (starts[at] as number)];
  };
  for (const { 0: found, index } of content.matchAll(pattern)) {
    const range = document.createRange();
    range.setStart(...locate(index));
    const [node, offset] = locate(index + found.length - 1);
    range.setEnd(node, offset + 1);
    ranges.push(range);
    if (ranges.length === MAX_MATCHES) break;
  }
  return ranges;
}

export class FindBar {
  readonly element: HTMLElement;
  readonly #input: HTMLInputElement;
  readonly #count: HTMLElement;
  #ranges: Range[] = [];
  #current = -1;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    /** The element that is searched. */
    private readonly output: HTMLElement,
    private readonly words: Words,
    create: typeof createElement,
    adopt: typeof adoptStyle,
  ) {
    adopt(output.getRootNode() as ShadowRoot, FIND_STYLE);
    this.#input = create("input", {
      type: "text",
      "aria-label": words.find,
      placeholder: words.findHint,
      autocomplete: "off",
      autocapitalize: "off",
      spellcheck: "false",
    });
    this.#count = create("span", { class: "count", role: "status" });
    const createButton = (label: string, text: string, act: () => void) => {
      const attributes = { type: "button", "aria-label": label, title: label };
      const button = create("button", attributes, text);
      button.addEventListener("click", act);
      return button;
    };
    this.element = create(
      "div",
      { class: "find", role: "group", "aria-label": words.find, hidden: "" },
      this.#input,
      this.#count,
      createButton(words.previous, "↑", () => this.#move(-1)),
      createButton(words.next, "↓", () => this.#move(1)),
      createButton(words.close, "✕", () => this.close()),
    );
    this.#input.addEventListener("input", () => this.#search({ isNew: true }));
    this.element.addEventListener("keydown", (event) => this.#handleKey(event));
  }

  /** Shows the bar, and moves the focus there. */
  open(): void {
    this.element.hidden = false;
    this.#input.focus();
    this.#input.select();
    this.#search({ isNew: false });
  }

  close(): void {
    this.element.hidden = true;
    this.#mark([]);
    this.output.focus();
  }

  /** Searches again soon, because the output has changed. */
  refresh(): void {
    if (this.element.hidden || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (!this.element.hidden) this.#search({ isNew: false });
    }, REFRESH_MS);
  }

  #handleKey(event: KeyboardEvent): void {
    if (event.key === "Enter" && event.target === this.#input) this.#move(event.shiftKey ? -1 : 1);
    else if (event.key === "Escape") this.close();
    else return;
    event.preventDefault();
  }

  /** Searches the output. A `new` text is shown at its first place below the top of what is seen. */
  #search({ isNew }: { isNew: boolean }): void {
    const text = this.#input.value;
    const current = this.#current;
    this.#mark(text ? rangesOf(this.output, text) : []);
    if (!isNew) this.#current = Math.min(current, this.#ranges.length - 1);
    else {
      const { top } = this.output.getBoundingClientRect();
      const isBelow = (range: Range) => range.getBoundingClientRect().bottom > top;
      const first = this.#ranges.findIndex(isBelow);
      this.#current = this.#ranges.length ? Math.max(0, first) : -1;
    }
    this.#showCurrent({ isScrolled: isNew });
  }

  #move(step: 1 | -1): void {
    const { length } = this.#ranges;
    if (length === 0) return;
    this.#current = (this.#current + step + length) % length;
    this.#showCurrent({ isScrolled: true });
  }

  /** Marks these places, and no others of this output. */
  #mark(ranges: Range[]): void {
    const [all, current] = [highlightsOf(ALL), highlightsOf(CURRENT)];
    for (const range of this.#ranges) {
      all?.delete(range);
      current?.delete(range);
    }
    this.#ranges = ranges;
    this.#current = -1;
    for (const range of ranges) all?.add(range);
  }

  #showCurrent({ isScrolled }: { isScrolled: boolean }): void {
    const marked = highlightsOf(CURRENT);
    const range = this.#ranges[this.#current];
    for (const other of this.#ranges) if (other !== range) marked?.delete(other);
    if (range) marked?.add(range);
    if (range && isScrolled) this.#scrollTo(range);
    const { length } = this.#ranges;
    const { words } = this;
    const all = length === MAX_MATCHES ? `${length}+` : String(length);
    const count = length ? words.found(this.#current + 1, all) : this.#input.value ? words.notFound : "";
    if (this.#count.textContent !== count) this.#count.textContent = count;
  }

  #scrollTo(range: Range): void {
    const { output } = this;
    range.startContainer.parentElement?.closest("td, th")?.scrollIntoView({ block: "nearest" });
    const place = range.getBoundingClientRect();
    const seen = output.getBoundingClientRect();
    if (place.top < seen.top || place.bottom > seen.bottom) {
      output.scrollTop += place.top - seen.top - seen.height / 2;
    }
    if (place.left < seen.left || place.right > seen.right) {
      output.scrollLeft += place.left - seen.left - seen.width / 2;
    }
  }
}
