/** Whether the output is the expected one, and what else an exercise shows. */

import { words } from "../../words/words.js";
import { createElement } from "../create-element.js";

/** A text without the white space at the ends of its lines, and at its own end. */
const plain = (text: string) => text.replace(/[ \t\r]+$/gm, "").trimEnd();

/** Whether two outputs are the same but for white space that nobody sees. */
export const isAsExpected = (output: string, expected: string): boolean =>
  plain(output) === plain(expected);

export class Verdict {
  readonly element = createElement("div", { class: "verdict", role: "status" });

  clear(): void {
    this.element.replaceChildren();
    delete this.element.dataset.passed;
  }

  show(isPassed: boolean, expected: string): void {
    const { element } = this;
    element.dataset.passed = String(isPassed);
    element.replaceChildren(isPassed ? words.asExpected : words.notAsExpected);
    if (!isPassed) element.append(createElement("pre", { tabindex: "0", translate: "no" }, expected));
  }
}

/** Creates the part that reveals a solution. */
export const createSolution = (text: string): HTMLElement =>
  createElement(
    "details",
    { class: "solution" },
    createElement("summary", {}, words.solution),
    createElement("pre", { tabindex: "0", translate: "no" }, text),
  );
