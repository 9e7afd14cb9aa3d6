/** A line of the terminal: characters in columns, which may be overwritten. */

import { charactersOf, combine, isNarrow } from "./columns.js";
import { PLAIN, type Style } from "./style.js";

/** Text of one style. A tab that is written is a text of its own, of several columns. */
export interface Piece {
  text: string;
  columns: number;
  style: Style;
}

export const blank = (columns: number): Piece => ({
  text: " ".repeat(columns),
  columns,
  style: PLAIN,
});

/**
 * A program may rewrite a line very often, e.g. for each step of a progress bar. So the columns are
 * in arrays, and a change costs only as much as the columns that it changes.
 */
export class Line {
  /** The character of each column. Further columns of a wide character or a tab are empty. */
  readonly #texts: string[] = [];
  readonly #styles: Style[] = [];
  /** Characters without columns before all others, e.g. one that sets the direction of writing. */
  #prefix = "";
  /**
   * The text that ends the line if there is a line below: a newline, or nothing if the text
   * continues there.
   */
  #end: "\n" | "" | undefined;
  /** Whether anything but additions at the end has happened since the view has reset this. */
  isRewritten = false;

  get columns(): number {
    return this.#texts.length;
  }

  get end(): "\n" | "" | undefined {
    return this.#end;
  }

  set end(end: "\n" | "" | undefined) {
    if (this.#end !== undefined && end !== this.#end) this.isRewritten = true;
    this.#end = end;
  }

  /** The style of the last column. */
  get lastStyle(): Style | undefined {
    return this.#styles.at(-1);
  }

  /** Writes a piece at a column, over what is there. */
  put(column: number, { text, columns, style }: Piece): void {
    const isTab = text === "\t";
    const characters = isTab ? [{ text, columns }] : isNarrow(text) ? [] : charactersOf(text);
    if (characters[0]?.columns === 0) this.#combine(column, characters.shift()?.text ?? "");
    if (columns === 0) return;
    while (this.columns < column) this.#set(this.columns, " ", PLAIN);
    if (column < this.columns) {
      this.isRewritten = true;
      this.#breakAt(column);
      this.#breakAt(column + columns);
      if (column === 0) this.#prefix = "";
    }
    if (this.#end !== undefined) this.isRewritten = true;
    let at = column;
    for (const { text: one, columns: width } of characters) {
      const next = at + width;
      this.#set(at++, one, style);
      while (at < next) this.#set(at++, "", style);
    }
    // A narrow text has one code unit for each column.
    for (; at < column + columns; at++) this.#set(at, text.charAt(at - column), style);
  }

  /** Inserts spaces at a column. What is pushed out of `maxColumns` is lost. */
  insert(column: number, count: number, maxColumns: number): void {
    const spaces = Math.min(count, maxColumns - column);
    if (column >= this.columns || spaces <= 0) return;
    this.#breakAt(column);
    this.#breakAt(maxColumns - spaces);
    this.#texts.splice(column, 0, ...Array<string>(spaces).fill(" "));
    this.#styles.splice(column, 0, ...Array<Style>(spaces).fill(PLAIN));
    this.#cut(maxColumns);
    this.isRewritten = true;
  }

  /** Removes some columns. What is behind them moves to the left. */
  delete(column: number, count: number): void {
    if (column >= this.columns) return;
    this.#breakAt(column);
    this.#breakAt(column + count);
    this.#texts.splice(column, count);
    this.#styles.splice(column, count);
    this.isRewritten = true;
  }

  /** Removes everything from a column on. */
  truncate(column: number): void {
    if (column === 0 && this.#prefix) {
      this.#prefix = "";
      this.isRewritten = true;
    }
    if (column >= this.columns) return;
    this.#breakAt(column);
    this.#cut(column);
    this.isRewritten = true;
  }

  /** The pieces from a column on, at which a character begins. */
  slice(from: number): Piece[] {
    const pieces: Piece[] = [];
    for (let at = from; at < this.columns; ) {
      const begin = at;
      const style = this.#styles[at] as Style;
      while (at < this.columns && this.#styles[at]?.key === style.key) at++;
      pieces.push({ text: this.#texts.slice(begin, at).join(""), columns: at - begin, style });
    }
    if (from > 0 || !this.#prefix) return pieces;
    const [first] = pieces;
    if (first) first.text = this.#prefix + first.text;
    else pieces.push({ text: this.#prefix, columns: 0, style: PLAIN });
    return pieces;
  }

  /** The text, without that which ends the line. */
  get text(): string {
    return this.#prefix + this.#texts.join("");
  }

  #set(column: number, text: string, style: Style): void {
    this.#texts[column] = text;
    this.#styles[column] = style;
  }

  #cut(column: number): void {
    this.#texts.length = this.#styles.length = Math.min(column, this.columns);
  }

  /** Adds characters without columns to the character before a column. */
  #combine(column: number, marks: string): void {
    let at = column - 1;
    while (this.#texts[at] === "") at--;
    const before = at < 0 ? this.#prefix : this.#texts[at];
    // There is nothing before a column that the cursor was moved to, behind the end of the line.
    if (before === undefined || before === "\t") return;
    const combined = combine(before, marks);
    if (combined === before) return;
    if (at < 0) this.#prefix = combined;
    else this.#texts[at] = combined;
    // The view may have shown the character without them.
    this.isRewritten = true;
  }

  /** Lets no character reach across a column: what remains of one becomes spaces. */
  #breakAt(column: number): void {
    if (this.#texts[column] !== "") return;
    let at = column;
    while (this.#texts[at] === "") at--;
    do this.#texts[at++] = " ";
    while (this.#texts[at] === "");
  }
}
