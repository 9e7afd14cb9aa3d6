/** What the page around an editor is told of a program: what it writes, its end and its result. */

import type { Case, CaseResult, CasesResult, Message } from "../../client/index.js";
import { words } from "../../words/words.js";
import { createElement } from "../create-element.js";
import { describeEnd } from "../describe-end.js";
import type { Parts } from "../exercise/parts.js";
import { isAsExpected, plain } from "../exercise/plain.js";
import type { Verdict } from "../exercise/verdict.js";
import { adoptStyle } from "../style.js";
import { Transcript } from "./transcript.js";

/** What a result depends on. */
type Expectations = Pick<Parts, "cases" | "expected" | "solution">;

export class Report {
  readonly #transcript = new Transcript();
  readonly #status = createElement("div", { class: "verdict", role: "status" });
  /** The place that shows the result. */
  readonly element = createElement("div", { class: "report" }, this.#status);
  #verdict: Promise<Verdict | undefined> | undefined;
  /** The ends of the program's cases. */
  #cases: CaseResult[] = [];
  /** Whether all cases have ended. */
  hasSum = false;

  /** `tell` gives the page an event with its details. */
  constructor(private readonly tell: (name: string, detail: unknown) => void) {}

  /** What the program has written. */
  get output(): string {
    return this.#transcript.text();
  }

  /** Shows another program's part of the report. A page without exercises loads nothing for them. */
  prepare({ cases, expected, solution }: Expectations): void {
    if (this.#verdict || cases || (expected ?? solution) !== undefined) {
      this.#show((verdict) => verdict.setSolution(solution));
    }
  }

  /**
   * Shows something of the result, in the order of the calls. Without an answer of the server nothing
   * is shown, and the next call asks again.
   */
  #show(show: (verdict: Verdict) => void): void {
    this.#verdict ??= import("../exercise/verdict.js").then(
      ({ Verdict }) => new Verdict(this.#status, { words, createElement, describeEnd, adoptStyle, plain }),
      () => (this.#verdict = undefined),
    );
    void this.#verdict.then((verdict) => verdict && show(verdict));
  }

  clear(): void {
    this.#transcript.clear();
    this.#cases = [];
    this.hasSum = false;
    if (this.#verdict) this.#show((verdict) => verdict.clear());
  }

  handleWrite(message: Message): void {
    this.tell("write", this.#transcript.add(message));
  }

  /** Tells and shows the end of a case. `cases` are those that the page has given. */
  handleCase(result: CaseResult, cases: Case[] = []): void {
    const at = this.#cases.push(result) - 1;
    const given = cases[at];
    const isSame = given && result.name === (given.name ?? String(at + 1));
    this.#show((verdict) => verdict.addCase(result, isSame ? given : undefined));
    this.tell("case", result);
  }

  /** Shows the end of all cases. */
  handleCases({ passed, failed, skipped = 0 }: CasesResult): void {
    this.hasSum = true;
    this.#show((verdict) => verdict.showSum(passed, passed + failed + skipped));
  }

  /** Tells the end, with all output; and the result, if there are cases, or an output is expected. */
  handleEnd({ exitstatus, reason }: Message, { expected, cases }: Expectations): void {
    const [stdout, stderr] = [this.#transcript.text("stdout"), this.#transcript.text("stderr")];
    const why = reason === undefined ? {} : { reason };
    this.tell("exit", { exitstatus, ...why, output: this.output, stdout, stderr });
    if (cases || this.hasSum) {
      this.tell("result", { passed: this.hasSum && exitstatus === 0, cases: this.#cases });
    } else if (expected !== undefined) {
      const passed = exitstatus === 0 && isAsExpected(stdout, expected);
      this.#show((verdict) => verdict.showExpected(passed, expected));
      this.tell("result", { passed, expected, stdout });
    }
  }
}
