/**
 * The last lines of a program's output as a terminal would show them: a program may go back to
 * write over them, e.g. for a progress bar. Lines above are only kept by the view.
 */

import { takeColumns } from "./columns.js";
import { blank, Line } from "./line.js";
import { SequenceParser, type SequenceHandler } from "./sequences.js";
import { PLAIN, Rendition } from "./style.js";

/** The lines that a program can reach again: those of the terminal that programs expect. */
export const MAX_ROWS = 25;
/** The columns of a line. Longer text continues in the next one, where no newline is shown. */
export const MAX_COLUMNS = 1000;
const TAB_COLUMNS = 8;
/** The longest address of a link, in characters, as in other terminals. */
const MAX_LINK_LENGTH = 2083;

/** Shows the lines. */
export interface TerminalView {
  /** The topmost line can be reached no more. */
  leave(line: Line): void;
  /** A line was erased, together with those below. */
  remove(line: Line): void;
}

/** What is known of one of the outputs that share the terminal. */
interface Source {
  parser: SequenceParser;
  rendition: Rendition;
}

const createSource = (fileClass = ""): Source => ({
  parser: new SequenceParser(),
  rendition: new Rendition(fileClass),
});

/** The address of a link that may be opened; undefined for any other. */
export function safeLink(address: string): string | undefined {
  if (address.length > MAX_LINK_LENGTH || !/^https?:\/\//i.test(address)) return undefined;
  try {
    return new URL(address).href;
  } catch {
    return undefined;
  }
}

export class Terminal implements SequenceHandler {
  /** The lines that can be reached. Lines below the last one are empty. */
  #lines: Line[] = [new Line()];
  #row = 0;
  #column = 0;
  #saved: [row: number, column: number] = [0, 0];
  /** The tab stops, if the program has changed them. */
  #tabStops: Set<number> | undefined;
  readonly #sources: Record<string, Source> = {
    stdout: createSource(),
    stderr: createSource("stderr"),
    typed: createSource("typed"),
  };
  /** The source whose output is handled. */
  #source = this.#sources.stdout as Source;

  constructor(private readonly view: TerminalView) {}

  get lines(): readonly Line[] {
    return this.#lines;
  }

  /** Writes output of `stdout` or `stderr`, or what the user has `typed`. */
  write(text: string, file: string): void {
    const name = Object.hasOwn(this.#sources, file) ? file : "stdout";
    this.#source = this.#sources[name] as Source;
    this.#source.parser.parse(text, this);
  }

  /** Continues on an empty terminal, because something else stands below the lines so far. */
  startAnew(): void {
    this.#lines = [new Line()];
    this.#row = this.#column = 0;
    for (const { parser } of Object.values(this.#sources)) parser.reset();
  }

  text(text: string): void {
    let rest = text;
    while (rest) {
      const taken = takeColumns(rest, MAX_COLUMNS - this.#column);
      if (taken.text) {
        this.#lineHere().put(this.#column, { ...taken, style: this.#source.rendition.style });
        this.#column += taken.columns;
        rest = rest.slice(taken.text.length);
      }
      if (rest) this.#startLine("");
    }
  }

  control(character: string): void {
    if (character === "\n" || character === "\v" || character === "\f") this.#startLine("\n");
    else if (character === "\r") this.#column = 0;
    else if (character === "\b") this.#moveTo(this.#row, this.#column - 1);
    else if (character === "\t") this.#tab();
  }

  csi(parameters: string, final: string): void {
    if (final === "m") {
      // Sequences with a mark set other things, e.g. those of the keyboard.
      if (!/[<-?]/.test(parameters)) this.#source.rendition.apply(parameters);
      return;
    }
    if (/[^\d;]/.test(parameters)) return;
    const [mode = 0, second = 0] = parameters.split(";").map(Number);
    // A missing number, and 0, count as 1.
    const count = mode || 1;
    const [row, column] = [this.#row, this.#column];
    if (final === "A") this.#moveTo(row - count, column);
    else if (final === "B" || final === "e") this.#moveTo(row + count, column);
    else if (final === "C" || final === "a") this.#moveTo(row, column + count);
    else if (final === "D") this.#moveTo(row, column - count);
    else if (final === "E") this.#moveTo(row + count, 0);
    else if (final === "F") this.#moveTo(row - count, 0);
    else if (final === "G" || final === "`") this.#moveTo(row, count - 1);
    else if (final === "d") this.#moveTo(count - 1, column);
    else if (final === "H" || final === "f") this.#moveTo(count - 1, (second || 1) - 1);
    else if (final === "s") this.#saved = [row, column];
    else if (final === "u") this.#moveTo(...this.#saved);
    else if (final === "J") this.#eraseLines(mode);
    else if (final === "K") this.#eraseInLine(mode);
    else if (final === "X") this.#erase(column, count);
    else if (final === "P") this.#lines[row]?.delete(column, count);
    else if (final === "@") this.#lines[row]?.insert(column, count, MAX_COLUMNS);
    else if (final === "g") this.#clearTabStops(mode);
  }

  osc(command: string): void {
    const [, address] = /^8;[^;]*;(.*)$/.exec(command) ?? [];
    if (address !== undefined) this.#source.rendition.link = safeLink(address);
  }

  escape(final: string): void {
    if (final === "7") this.#saved = [this.#row, this.#column];
    else if (final === "8") this.#moveTo(...this.#saved);
    else if (final === "D") this.#lineFeed("\n");
    else if (final === "E") this.#startLine("\n");
    else if (final === "H") (this.#tabStops ??= defaultTabStops()).add(this.#column);
    else if (final === "M") this.#moveTo(this.#row - 1, this.#column);
    else if (final === "c") {
      this.#moveTo(0, 0);
      this.#eraseLines(0);
      this.#tabStops = undefined;
      this.#source.rendition.reset();
    }
  }

  /** Moves the cursor, within the terminal. */
  #moveTo(row: number, column: number): void {
    this.#row = Math.min(Math.max(row, 0), MAX_ROWS - 1);
    this.#column = Math.min(Math.max(column, 0), MAX_COLUMNS - 1);
  }

  /** The line with the cursor. It is created if it is below the last one. */
  #lineHere(): Line {
    while (this.#lines.length <= this.#row) {
      const last = this.#lines.at(-1);
      if (last) last.end = "\n";
      this.#lines.push(new Line());
    }
    return this.#lines[this.#row] as Line;
  }

  /** Moves the cursor to the begin of the next line. */
  #startLine(end: "\n" | ""): void {
    this.#lineFeed(end);
    this.#column = 0;
  }

  /** Moves the cursor down. On the last row, the topmost line leaves the terminal. */
  #lineFeed(end: "\n" | ""): void {
    this.#lineHere().end = end;
    if (this.#row < MAX_ROWS - 1) this.#row++;
    else {
      this.view.leave(this.#lines.shift() as Line);
      this.#lines.push(new Line());
    }
    if (this.#lines.length <= this.#row) this.#lines.push(new Line());
  }

  #tab(): void {
    const column = this.#column;
    const stops = this.#tabStops && [...this.#tabStops].filter((stop) => stop > column);
    const next = stops
      ? Math.min(...stops, MAX_COLUMNS - 1)
      : Math.min(column - (column % TAB_COLUMNS) + TAB_COLUMNS, MAX_COLUMNS - 1);
    const line = this.#lineHere();
    // A tab at the end of a line is kept as such, so that it can be copied.
    if (column >= line.columns && next % TAB_COLUMNS === 0 && !stops) {
      line.put(column, { text: "\t", columns: next - column, style: PLAIN });
    }
    this.#moveTo(this.#row, next);
  }

  #clearTabStops(mode: number): void {
    if (mode === 3) this.#tabStops = new Set();
    else if (mode === 0) (this.#tabStops ??= defaultTabStops()).delete(this.#column);
  }

  /** Erases lines: those below the cursor (0), those above it (1), or all (2). */
  #eraseLines(mode: number): void {
    if (mode > 2) return;
    const firstRemoved = mode === 0 ? this.#row + 1 : mode === 2 ? 0 : this.#lines.length;
    if (mode < 2) this.#eraseInLine(mode);
    if (mode === 1) this.#lines.slice(0, this.#row).forEach((line) => line.truncate(0));
    if (firstRemoved >= this.#lines.length) return;
    for (const line of this.#lines.splice(firstRemoved)) this.view.remove(line);
    const last = this.#lines.at(-1);
    if (last) last.end = undefined;
  }

  /** Erases a part of the line: that from the cursor on (0), that up to it (1), or all (2). */
  #eraseInLine(mode: number): void {
    const line = this.#lines[this.#row];
    if (mode === 0) line?.truncate(this.#column);
    else if (mode === 1) this.#erase(0, this.#column + 1);
    else if (mode === 2) line?.truncate(0);
  }

  /** Erases some columns of the line. */
  #erase(column: number, count: number): void {
    const line = this.#lines[this.#row];
    if (!line || column >= line.columns) return;
    if (column + count >= line.columns) line.truncate(column);
    else line.put(column, blank(count));
  }
}

const defaultTabStops = () =>
  new Set(Array.from({ length: MAX_COLUMNS / TAB_COLUMNS }, (_, at) => at * TAB_COLUMNS));
