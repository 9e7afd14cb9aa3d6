/**
 * Splits a program's output into text, control characters and escape sequences (ECMA-48). A
 * sequence may be split between two calls in any place.
 */

/** Called for the parts of the output, in their order. */
export interface SequenceHandler {
  /** A text without control characters. */
  text(text: string): void;
  /** A control character, other than the beginning of a sequence. */
  control(character: string): void;
  /** `ESC [ parameters final`, e.g. for a colour or a movement of the cursor. */
  csi(parameters: string, final: string): void;
  /** `ESC ] command`, e.g. for a link or the title of the window. */
  osc(command: string): void;
  /** `ESC final`. */
  escape(final: string): void;
}

/** The longest sequence, in characters. A longer one is left out. */
const MAX_SEQUENCE_LENGTH = 4096;
const CONTROL = /[\x00-\x1f\x7f-\x9f]/;
/**
 * A part of the output. Sequences that begin with `ESC ]`, P, X, ^ or _ contain a text, and end at
 * the next control character; that is BEL or ESC \, if the program does not break off.
 */
const PART =
  /([^\x00-\x1f\x7f-\x9f]+)|\x1b(?:\[([0-?]*)([ -/]*)([@-~])?|([\]PX^_])([^\x00-\x1f\x7f-\x9f]*)|([ -/]*)([0-~])?)|[^]/g;

/** Parses one output from its beginning. */
export class SequenceParser {
  /** An unfinished sequence at the end of the output so far. */
  #held = "";
  /** Whether the rest of a sequence that is too long is left out. */
  #isSkipping = false;

  parse(text: string, handler: SequenceHandler): void {
    let input = this.#held + text;
    this.#held = "";
    if (this.#isSkipping) {
      const end = input.search(CONTROL);
      if (end < 0) return;
      this.#isSkipping = false;
      input = input.slice(end);
    }
    for (const match of input.matchAll(PART)) {
      const [part, plain, parameters, marks, final, kind, content, escapeMarks, escapeFinal] = match;
      if (plain !== undefined) handler.text(plain);
      else if (part[0] !== "\x1b") handler.control(part);
      else {
        const next = input[match.index + part.length];
        const isUnfinished =
          next === undefined && final === undefined && escapeFinal === undefined;
        if (isUnfinished) this.#hold(part, kind !== undefined);
        else if (final !== undefined) {
          if (!marks) handler.csi(parameters as string, final);
        } else if (kind === "]" && (next === "\x07" || next === "\x1b")) {
          handler.osc(content as string);
        } else if (escapeFinal !== undefined && !escapeMarks) handler.escape(escapeFinal);
      }
    }
  }

  /** Forgets an unfinished sequence, because output after it is missing. */
  reset(): void {
    this.#held = "";
    this.#isSkipping = false;
  }

  #hold(sequence: string, hasText: boolean): void {
    if (sequence.length <= MAX_SEQUENCE_LENGTH) this.#held = sequence;
    else this.#isSkipping = hasText;
  }
}
