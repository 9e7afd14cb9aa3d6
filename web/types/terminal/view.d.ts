/** Shows a terminal's lines at the end of an output. */
import type { Output } from "../dom/output.js";
import type { Line } from "./line.js";
import { type TerminalView } from "./terminal.js";
/**
 * A line that the program can reach has an element of its own. All lines that leave the terminal
 * before they were shown become one element, so that a flood costs little.
 */
export declare class OutputTerminal implements TerminalView {
    #private;
    private readonly output;
    constructor(output: Output);
    /** Writes output of `stdout` or `stderr`, or what the user has `typed`, and shows it. */
    write(text: string, file: string): void;
    leave(line: Line): void;
    remove(line: Line): void;
}
