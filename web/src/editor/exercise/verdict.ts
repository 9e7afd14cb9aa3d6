/**
 * What an exercise shows below the output: whether the output is the expected one, the program's
 * cases, and a solution. The file is loaded for the first exercise.
 */

import type { Case, CaseResult } from "../../client/index.js";
import type { Words } from "../../words/words.js";
import type { createElement } from "../create-element.js";
import type { describeEnd } from "../describe-end.js";
import type { adoptStyle } from "../style.js";
import { CaseList } from "./case-list.js";
import type { plain } from "./plain.js";
import { VERDICT_STYLE } from "./verdict-style.js";

/** What this file uses of the editor's, which it does not contain itself. */
export interface Tools {
  words: Words;
  createElement: typeof createElement;
  describeEnd: typeof describeEnd;
  adoptStyle: typeof adoptStyle;
  plain: typeof plain;
}

export class Verdict {
  #cases: CaseList | undefined;
  #solution: HTMLElement | undefined;

  /** `status` tells the verdict. The rest is added to its parent. */
  constructor(
    private readonly status: HTMLElement,
    private readonly tools: Tools,
  ) {
    tools.adoptStyle(status.getRootNode() as ShadowRoot, VERDICT_STYLE);
  }

  clear(): void {
    this.status.replaceChildren();
    delete this.status.dataset.passed;
    this.#cases?.element.remove();
    this.#cases = undefined;
  }

  /** Shows whether the output is the expected one. */
  showExpected(isPassed: boolean, expected: string): void {
    const { words, createElement } = this.tools;
    this.#show(isPassed, isPassed ? words.asExpected : words.notAsExpected);
    if (isPassed) return;
    this.status.append(createElement("pre", { tabindex: "0", translate: "no" }, expected));
  }

  /** Shows the end of a case. `given` is the case, if the page knows it. */
  addCase(result: CaseResult, given: Case | undefined): void {
    if (!this.#cases) {
      this.#cases = new CaseList(this.tools);
      this.status.after(this.#cases.element);
    }
    this.#cases.add(result, given);
  }

  /** Shows how many of all cases have passed. */
  showSum(passed: number, all: number): void {
    this.#show(passed === all, this.tools.words.casesPassed(passed, all));
  }

  #show(isPassed: boolean, text: string): void {
    this.status.dataset.passed = String(isPassed);
    this.status.replaceChildren(text);
  }

  /** Shows the part that reveals a solution; none if there is no text. */
  setSolution(text: string | undefined): void {
    this.#solution?.remove();
    if (text === undefined) return;
    const { words, createElement } = this.tools;
    this.#solution = createElement(
      "details",
      { class: "solution" },
      createElement("summary", {}, words.solution),
      createElement("pre", { tabindex: "0", translate: "no" }, text),
    );
    this.status.parentElement?.append(this.#solution);
  }
}
