/** What the page around an editor is told of a program: what it writes, its end and its result. */

import type { Message } from "../../client/index.js";
import { isAsExpected, Verdict } from "../exercise/verdict.js";
import { Transcript } from "./transcript.js";

export class Report {
  readonly #transcript = new Transcript();
  readonly #verdict = new Verdict();

  /** `tell` gives the page an event with its details. */
  constructor(private readonly tell: (name: string, detail: unknown) => void) {}

  /** The place that shows whether the output is the expected one. */
  get element(): HTMLElement {
    return this.#verdict.element;
  }

  /** What the program has written. */
  get output(): string {
    return this.#transcript.text();
  }

  clear(): void {
    this.#transcript.clear();
    this.#verdict.clear();
  }

  handleWrite(message: Message): void {
    this.tell("write", this.#transcript.add(message));
  }

  /** Tells the end, with all output; and the result, if an output is expected. */
  handleEnd({ exitstatus, reason }: Message, expected: string | undefined): void {
    const [stdout, stderr] = [this.#transcript.text("stdout"), this.#transcript.text("stderr")];
    const why = reason === undefined ? {} : { reason };
    this.tell("exit", { exitstatus, ...why, output: this.output, stdout, stderr });
    if (expected === undefined) return;
    const passed = exitstatus === 0 && isAsExpected(stdout, expected);
    this.#verdict.show(passed, expected);
    this.tell("result", { passed, expected, stdout });
  }
}
