/** ANSI colours: what a program prints for a terminal, as pieces of text with the names of their styles. */

export interface Piece {
  text: string;
  /** e.g. `red`, `bold`, `on-blue`. */
  styles: string[];
}

const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
const SWITCHES: Record<number, string> = { 1: "bold", 2: "dim", 3: "italic", 4: "underline" };
/** The longest sequence that is waited for, in characters: what is longer is none. */
const SEQUENCE_MAX = 64;

/** Reads one output from its beginning; a sequence may be cut anywhere. */
export class Ansi {
  #held = "";
  #colour = "";
  #ground = "";
  #switches = new Set<string>();

  read(text: string): Piece[] {
    const pieces: Piece[] = [];
    const all = this.#held + text;
    this.#held = "";
    let from = 0;
    // Sequences that begin with ESC [; those that set no style (moving a cursor that a page has not) are left out.
    for (const match of all.matchAll(/\x1b(?:\[([0-9;?]*)([@-~])?|$)/g)) {
      this.#add(pieces, all.slice(from, match.index));
      from = match.index + match[0].length;
      if (match[2] === "m") this.#set(match[1] ?? "");
      else if (match[2] === undefined && from === all.length && match[0].length < SEQUENCE_MAX) this.#held = match[0];
    }
    this.#add(pieces, all.slice(from));
    return pieces;
  }

  #add(pieces: Piece[], text: string): void {
    if (!text) return;
    pieces.push({ text, styles: [this.#colour, this.#ground, ...this.#switches].filter(Boolean) });
  }

  #set(parameters: string): void {
    const codes = parameters.split(";").map(Number);
    for (let at = 0; at < codes.length; at++) {
      const code = codes[at] as number;
      const colour = COLOURS[code % 10] ?? "";
      if (code === 0) {
        this.#colour = this.#ground = "";
        this.#switches.clear();
      } else if (SWITCHES[code]) this.#switches.add(SWITCHES[code]);
      else if (code === 22) ["bold", "dim"].forEach((name) => this.#switches.delete(name));
      else if (code === 23 || code === 24) this.#switches.delete(SWITCHES[code - 20] as string);
      else if (code === 39) this.#colour = "";
      else if (code === 49) this.#ground = "";
      else if (code === 38 || code === 48) at += codes[at + 1] === 5 ? 2 : 4; // of 256, or of 16 million: none of ours
      else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) this.#colour = colour;
      else if ((code >= 40 && code <= 47) || (code >= 100 && code <= 107)) this.#ground = `on-${colour}`;
    }
  }
}
