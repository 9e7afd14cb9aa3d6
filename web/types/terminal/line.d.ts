/** A line of the terminal: text in columns, which may be overwritten. */
import { type Style } from "./style.js";
/** Text of one style. A tab is a piece of its own, of several columns. */
export interface Piece {
    text: string;
    columns: number;
    style: Style;
}
export declare const blank: (columns: number) => Piece;
export declare class Line {
    #private;
    columns: number;
    /** Whether anything but additions at the end has happened since the view has reset this. */
    isRewritten: boolean;
    get end(): "\n" | "" | undefined;
    set end(end: "\n" | "" | undefined);
    /** Writes a piece at a column, over what is there. */
    put(column: number, piece: Piece): void;
    /** Inserts spaces at a column. What is pushed out of `maxColumns` is lost. */
    insert(column: number, count: number, maxColumns: number): void;
    /** Removes some columns. What is behind them moves to the left. */
    delete(column: number, count: number): void;
    /** Removes everything from a column on. */
    truncate(column: number): void;
    /** The pieces between two columns. */
    slice(from: number, to?: number): Piece[];
    /** The text, without that which ends the line. */
    get text(): string;
}
