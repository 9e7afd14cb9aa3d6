/** The cases of a program: which have passed, and what is wrong with the others. */

import type { Case, CaseResult } from "../../client/index.js";
import { areSameLines, linesOf } from "./compare.js";
import { diffLines } from "./diff.js";
import type { Tools } from "./verdict.js";

/** The signs in front of the lines of a difference. */
const SIGNS = { same: "  ", expected: "− ", printed: "+ ", gap: "" };

export class CaseList {
  readonly element: HTMLElement;
  readonly #list: HTMLUListElement;
  /** Says that cases can be read. Those of an exercise that are hidden cannot. */
  readonly #secrecy: HTMLElement;
  /** Whether a case has failed, whose details are open. */
  #hasFailure = false;

  constructor(private readonly tools: Tools) {
    const { words, createElement } = tools;
    this.#list = createElement("ul", { "aria-label": words.cases });
    this.#secrecy = createElement("p", { class: "quiet" }, words.casesNotSecret);
    this.element = createElement("div", { class: "cases" }, this.#list, this.#secrecy);
  }

  /** Adds the end of a case. `given` is the case, if the page knows it. */
  add(result: CaseResult, given: Case | undefined): void {
    const { createElement } = this.tools;
    const { name, passed } = result;
    if (result.hidden) this.#secrecy.remove();
    const item = createElement("li", { "data-passed": String(passed) });
    if (passed) item.append(`✓ ${name}`);
    else {
      const summary = createElement("summary", {}, `✗ ${name}: ${this.#reasonOf(result)}`);
      const details = createElement("details", {}, summary, ...this.#describe(result, given));
      details.open = !this.#hasFailure;
      this.#hasFailure = true;
      item.append(details);
    }
    this.#list.append(item);
  }

  /** Why a case has failed, in words. */
  #reasonOf({ hidden, outcome, exitstatus, time_taken: seconds, reason: judged }: CaseResult): string {
    const { words, describeEnd } = this.tools;
    // Nobody is told whether a hidden case had another output or another exit status.
    if (hidden && outcome === "exited") return words.caseFailed;
    const hasPrinted = outcome === "exited" || outcome === "checker_failed";
    if (hasPrinted && !exitstatus) return judged ?? words.caseNotAsExpected;
    const reason = outcome === "exited" ? {} : { reason: outcome };
    return describeEnd({ msgtype: "exitstatus", exitstatus, ...reason }, seconds);
  }

  #describe(result: CaseResult, given: Case | undefined): HTMLElement[] {
    const { words } = this.tools;
    const { stdout, stderr, truncated, outcome, exitstatus } = result;
    const parts: HTMLElement[] = [];
    if (given?.args?.length) parts.push(...this.#block(words.caseArguments, given.args.join("\n")));
    if (given?.stdin) parts.push(...this.#block(words.caseInput, given.stdin));
    // A checker knows more than one right output, of which the difference tells nothing.
    const expected = given?.compare === "checker" ? undefined : given?.expected;
    const lines = given && expected !== undefined ? this.#diff(result, given, expected) : [];
    const isCompared = expected !== undefined && outcome === "exited" && exitstatus === 0;
    if (lines.length) parts.push(...this.#block(words.expectedAndPrinted, ...lines));
    else if (isCompared && !truncated) parts.push(this.#note(words.whiteSpaceDiffers));
    else if (stdout) parts.push(...this.#block(words.printed, stdout));
    if (stderr) parts.push(...this.#block(words.standardError, stderr));
    if (truncated) parts.push(this.#note(words.moreNotShown));
    return parts;
  }

  /** The lines that differ. Of an output that is cut, no line is missing. */
  #diff({ stdout, truncated }: CaseResult, given: Case, expected: string): HTMLElement[] {
    const { plain, createElement } = this.tools;
    const printed = linesOf(stdout ?? "", given, plain);
    if (truncated) printed.pop();
    const wanted = linesOf(expected, given, plain);
    const compared = truncated ? wanted.slice(0, printed.length) : wanted;
    const lines = diffLines(compared, printed, (...pair) => areSameLines(given, ...pair));
    return lines.map(({ kind, text }) =>
      createElement("span", { class: `diff-${kind}` }, `${SIGNS[kind]}${text}\n`),
    );
  }

  #note(text: string): HTMLElement {
    return this.tools.createElement("p", { class: "quiet" }, text);
  }

  /** A text with its title. It can be scrolled, and so can have the focus. */
  #block(title: string, ...content: (Node | string)[]): HTMLElement[] {
    const { createElement } = this.tools;
    const attributes = { tabindex: "0", translate: "no", role: "group", "aria-label": title };
    return [createElement("p", {}, title), createElement("pre", attributes, ...content)];
  }
}
