/** What a program has written, for the page around its editor. */

import { type Message, textOf } from "../../client/index.js";

/** The text that is kept, in characters. Older text is removed in chunks. */
const MAX_LENGTH = 400_000;

export class Transcript {
  #parts: { file: string; text: string }[] = [];
  #length = 0;

  /** Adds a `write` message. Returns its text. */
  add(message: Message): { file: string; data: string } {
    const [file, text] = [String(message.file), textOf(message)];
    const last = this.#parts.at(-1);
    if (last?.file === file && last.text.length < MAX_LENGTH / 10) last.text += text;
    else this.#parts.push({ file, text });
    this.#length += text.length;
    while (this.#length > MAX_LENGTH && this.#parts.length > 1) {
      this.#length -= this.#parts.shift()?.text.length ?? 0;
    }
    return { file, data: text };
  }

  clear(): void {
    this.#parts = [];
    this.#length = 0;
  }

  /** The text that was written on `stdout` or `stderr`, or on both. */
  text(file?: "stdout" | "stderr"): string {
    const parts = this.#parts.filter((part) => !file || part.file === file);
    return parts.map(({ text }) => text).join("");
  }
}
