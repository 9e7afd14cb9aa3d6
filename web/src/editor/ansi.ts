/**
 * Parses ANSI escape sequences: splits a program's output into pieces of text with style names.
 */

export interface StyledText {
  text: string;
  /** The names of the styles, e.g. `red`, `bold`, `on-blue`. */
  styles: string[];
}

const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
const ATTRIBUTES: Record<number, string> = { 1: "bold", 2: "dim", 3: "italic", 4: "underline" };
/** The longest unfinished sequence that is held back, in characters. A longer one is discarded. */
const MAX_SEQUENCE_LENGTH = 64;

/** Parses one output from its beginning. A sequence may be split between two calls. */
export class AnsiParser {
  /** An unfinished sequence at the end of the text so far. */
  #held = "";
  #foreground = "";
  #background = "";
  #attributes = new Set<string>();

  parse(text: string): StyledText[] {
    const pieces: StyledText[] = [];
    const input = this.#held + text;
    this.#held = "";
    let from = 0;
    // Matches sequences that begin with ESC [. Those that set no style, e.g. cursor movements, are
    // left out of the result.
    for (const match of input.matchAll(/\x1b(?:\[([0-9;?]*)([@-~])?|$)/g)) {
      const [sequence, parameters = "", final] = match;
      this.#push(pieces, input.slice(from, match.index));
      from = match.index + sequence.length;
      const isUnfinished = final === undefined && from === input.length;
      if (final === "m") this.#setStyles(parameters);
      else if (isUnfinished && sequence.length < MAX_SEQUENCE_LENGTH) this.#held = sequence;
    }
    this.#push(pieces, input.slice(from));
    return pieces;
  }

  #push(pieces: StyledText[], text: string): void {
    if (!text) return;
    const styles = [this.#foreground, this.#background, ...this.#attributes].filter(Boolean);
    pieces.push({ text, styles });
  }

  /** Applies the parameters of a "select graphic rendition" sequence. */
  #setStyles(parameters: string): void {
    const codes = parameters.split(";").map(Number);
    for (let at = 0; at < codes.length; at++) {
      const code = codes[at] as number;
      const colour = COLOURS[code % 10] ?? "";
      if (code === 0) {
        this.#foreground = this.#background = "";
        this.#attributes.clear();
      } else if (ATTRIBUTES[code]) this.#attributes.add(ATTRIBUTES[code]);
      else if (code === 22) ["bold", "dim"].forEach((name) => this.#attributes.delete(name));
      else if (code === 23 || code === 24) this.#attributes.delete(ATTRIBUTES[code - 20] as string);
      else if (code === 39) this.#foreground = "";
      else if (code === 49) this.#background = "";
      else if (code === 38 || code === 48) {
        // Colours of the 256-colour palette and 24-bit colours are skipped with their parameters.
        at += codes[at + 1] === 5 ? 2 : 4;
      } else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) {
        this.#foreground = colour;
      } else if ((code >= 40 && code <= 47) || (code >= 100 && code <= 107)) {
        this.#background = `on-${colour}`;
      }
    }
  }
}
