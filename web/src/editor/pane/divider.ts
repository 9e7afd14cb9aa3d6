/** The line between code and output, which can be dragged, and moved by keys. */

import { words } from "../../words/words.js";
import { createElement } from "../create-element.js";
import { MAX_CODE_PERCENT, MIN_CODE_PERCENT, readView, storeView } from "./view.js";

/** The steps of a key, in percent of the width, and in pixels of the height. */
const STEP_PERCENT = 2;
const STEP_PX = 20;
/** The least height of the code, in pixels. Its greatest height is a part of the window's. */
const MIN_HEIGHT_PX = 60;
const MAX_HEIGHT = 0.85;

/**
 * Where code and output stand beside each other, the divider sets the code's part of the width,
 * which the browser remembers. Where they stand below each other, it sets the code's height, which
 * depends on the program and is not remembered.
 */
export class Divider {
  readonly element = createElement("div", {
    class: "divider",
    role: "separator",
    tabindex: "0",
    "aria-label": words.codeAndOutput,
    "aria-controls": "code",
  });
  #percent = readView().codePercent;
  #height: number | undefined;

  constructor(
    private readonly frame: HTMLElement,
    private readonly code: HTMLElement,
    private readonly shown: HTMLElement,
  ) {
    const { element } = this;
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      // The pointer would select text on its way.
      event.preventDefault();
      element.focus();
      element.setPointerCapture(event.pointerId);
    });
    element.addEventListener("pointermove", (event) => {
      if (element.hasPointerCapture(event.pointerId)) this.#moveTo(event);
    });
    element.addEventListener("lostpointercapture", () => this.#store());
    element.addEventListener("dblclick", () => this.#reset());
    element.addEventListener("keydown", (event) => this.#handleKey(event));
    new ResizeObserver(() => this.#describe()).observe(frame);
    this.#apply();
  }

  /** Whether code and output stand beside each other. */
  get #isBeside(): boolean {
    return this.shown.getBoundingClientRect().left >= this.code.getBoundingClientRect().right;
  }

  get #maxHeight(): number {
    return Math.max(MIN_HEIGHT_PX, Math.round(innerHeight * MAX_HEIGHT));
  }

  #moveTo({ clientX, clientY }: PointerEvent): void {
    if (this.#isBeside) {
      const { left, width } = this.frame.getBoundingClientRect();
      this.#setPercent(((clientX - left) / width) * 100);
    } else this.#setHeight(clientY - this.code.getBoundingClientRect().top);
  }

  #handleKey(event: KeyboardEvent): void {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const isBeside = this.#isBeside;
    const keys = isBeside ? ["ArrowLeft", "ArrowRight"] : ["ArrowUp", "ArrowDown"];
    const step = [...keys, "Home", "End"].indexOf(event.key);
    if (step < 0 && event.key !== "Enter") return;
    event.preventDefault();
    if (event.key === "Enter") return this.#reset();
    if (isBeside) {
      const now = this.#percent ?? 50;
      this.#setPercent([now - STEP_PERCENT, now + STEP_PERCENT, 0, 100][step] as number);
    } else {
      const { height } = this.code.getBoundingClientRect();
      this.#setHeight([height - STEP_PX, height + STEP_PX, 0, Infinity][step] as number);
    }
    this.#store();
  }

  #setPercent(percent: number): void {
    this.#percent = Math.min(MAX_CODE_PERCENT, Math.max(MIN_CODE_PERCENT, percent));
    this.#apply();
  }

  #setHeight(height: number): void {
    this.#height = Math.min(this.#maxHeight, Math.max(MIN_HEIGHT_PX, Math.round(height)));
    this.#apply();
  }

  /** Gives code and output the room that they had at first. */
  #reset(): void {
    if (this.#isBeside) this.#percent = undefined;
    else this.#height = undefined;
    this.#apply();
    this.#store();
  }

  #store(): void {
    if (this.#isBeside) storeView({ codePercent: this.#percent });
  }

  #apply(): void {
    const { style, classList } = this.frame;
    const percent = this.#percent ?? 50;
    style.setProperty("--code-part", `${percent}fr`);
    style.setProperty("--shown-part", `${100 - percent}fr`);
    classList.toggle("sized", this.#height !== undefined);
    style.setProperty("--code-height", `${this.#height ?? 0}px`);
    this.#describe();
  }

  /** Tells in the attributes what the divider divides, and where it is. */
  #describe(): void {
    const isBeside = this.#isBeside;
    const height = Math.round(this.code.getBoundingClientRect().height);
    const values = isBeside
      ? [Math.round(this.#percent ?? 50), MIN_CODE_PERCENT, MAX_CODE_PERCENT]
      : [height, Math.min(height, MIN_HEIGHT_PX), Math.max(height, this.#maxHeight)];
    const [now, min, max] = values.map(String) as [string, string, string];
    const attributes = {
      "aria-orientation": isBeside ? "vertical" : "horizontal",
      "aria-valuenow": now,
      "aria-valuemin": min,
      "aria-valuemax": max,
      "aria-valuetext": isBeside ? `${now} %` : `${now} px`,
    };
    for (const [name, value] of Object.entries(attributes)) {
      this.element.setAttribute(name, value);
    }
  }
}
