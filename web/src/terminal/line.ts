/** A line of the terminal: text in columns, which may be overwritten. */

import { cutColumns, isNarrow } from "./columns.js";
import { PLAIN, type Style } from "./style.js";

/** Text of one style. A tab is a piece of its own, of several columns. */
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

export class Line {
  #pieces: Piece[] = [];
  columns = 0;
  /**
   * The text that ends the line if there is a line below: a newline, or nothing if the text
   * continues there.
   */
  #end: "\n" | "" | undefined;
  /** Whether anything but additions at the end has happened since the view has reset this. */
  isRewritten = false;

  get end(): "\n" | "" | undefined {
    return this.#end;
  }

  set end(end: "\n" | "" | undefined) {
    if (this.#end !== undefined && end !== this.#end) this.isRewritten = true;
    this.#end = end;
  }

  /** Writes a piece at a column, over what is there. */
  put(column: number, piece: Piece): void {
    if (column > this.columns) this.#append(blank(column - this.columns));
    if (column === this.columns) return this.#append(piece);
    const rest = this.slice(column + piece.columns);
    this.truncate(column);
    for (const one of [piece, ...rest]) this.#append(one);
  }

  /** Inserts spaces at a column. What is pushed out of `maxColumns` is lost. */
  insert(column: number, count: number, maxColumns: number): void {
    const spaces = Math.min(count, maxColumns - column);
    if (column >= this.columns || spaces <= 0) return;
    const rest = this.slice(column, maxColumns - spaces);
    this.truncate(column);
    for (const one of [blank(spaces), ...rest]) this.#append(one);
  }

  /** Removes some columns. What is behind them moves to the left. */
  delete(column: number, count: number): void {
    if (column >= this.columns) return;
    const rest = this.slice(column + count);
    this.truncate(column);
    for (const one of rest) this.#append(one);
  }

  /** Removes everything from a column on. */
  truncate(column: number): void {
    if (column >= this.columns) return;
    const kept = this.slice(0, column);
    this.#pieces = [];
    this.columns = 0;
    for (const one of kept) this.#append(one);
    this.isRewritten = true;
  }

  /** The pieces between two columns. */
  slice(from: number, to = Infinity): Piece[] {
    if (from === 0 && to >= this.columns) return this.#pieces;
    const found: Piece[] = [];
    let at = 0;
    for (const piece of this.#pieces) {
      const begin = Math.max(from - at, 0);
      const end = Math.min(to - at, piece.columns);
      at += piece.columns;
      if (begin >= end) continue;
      const columns = end - begin;
      if (columns === piece.columns) found.push(piece);
      else if (piece.text === "\t") found.push({ ...blank(columns), style: piece.style });
      else found.push({ ...piece, text: cutColumns(piece.text, begin, end), columns });
    }
    return found;
  }

  /** The text, without that which ends the line. */
  get text(): string {
    return this.#pieces.map(({ text }) => text).join("");
  }

  #append(piece: Piece): void {
    if (piece.text === "") return;
    // A character may combine with the one before, which the view has shown.
    const isTab = piece.text === "\t";
    if (this.#end !== undefined || !(isTab || isNarrow(piece.text))) this.isRewritten = true;
    const last = this.#pieces.at(-1);
    if (last && last.text !== "\t" && !isTab && last.style.key === piece.style.key) {
      last.text += piece.text;
      last.columns += piece.columns;
    } else this.#pieces.push({ ...piece });
    this.columns += piece.columns;
  }
}
