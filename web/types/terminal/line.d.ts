/** A line of the terminal: characters in columns, which may be overwritten. */
import { type Style } from "./style.js";
/** Text of one style. A tab that is written is a text of its own, of several columns. */
export interface Piece {
    text: string;
    columns: number;
    style: Style;
}
export declare const blank: (columns: number) => Piece;
/**
 * A program may rewrite a line very often, e.g. for each step of a progress bar. So the columns are
 * in arrays, and a change costs only as much as the columns that it changes.
 */
export declare class Line {
    #private;
    /** Whether anything but additions at the end has happened since the view has reset this. */
    isRewritten: boolean;
    get columns(): number;
    get end(): "\n" | "" | undefined;
    set end(end: "\n" | "" | undefined);
    /** The style of the last column. */
    get lastStyle(): Style | undefined;
    /** Writes a piece at a column, over what is there. */
    put(column: number, { text, columns, style }: Piece): void;
    /** Inserts spaces at a column. What is pushed out of `maxColumns` is lost. */
    insert(column: number, count: number, maxColumns: number): void;
    /** Removes some columns. What is behind them moves to the left. */
    delete(column: number, count: number): void;
    /** Removes everything from a column on. */
    truncate(column: number): void;
    /** The pieces from a column on, at which a character begins. */
    slice(from: number): Piece[];
    /** The text, without that which ends the line. */
    get text(): string;
}
