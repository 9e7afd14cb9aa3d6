/** Shows a terminal's lines at the end of an output. */
import type { Output } from "../dom/output.js";
import type { Line } from "./line.js";
import { type TerminalView } from "./terminal.js";
/** A part of a line that is shown by an element of its own. */
export interface Link {
    /** Where the part is in the line's text, as indices of characters. */
    from: number;
    to: number;
    /** Creates the element that contains the part's text. */
    create: () => HTMLElement;
}
/** Finds the parts of a complete line that are links. */
export type FindLinks = (text: string) => Link[];
/**
 * A line that the program can reach has an element of its own. All lines that leave the terminal
 * before they were shown become one element, so that a flood costs little.
 */
export declare class OutputTerminal implements TerminalView {
    #private;
    private readonly output;
    private readonly findLinks;
    constructor(output: Output, findLinks?: FindLinks);
    /** Writes output of `stdout` or `stderr`, or what the user has `typed`, and shows it. */
    write(text: string, file: string): void;
    leave(line: Line): void;
    remove(line: Line): void;
}
