/**
 * The last lines of a program's output as a terminal would show them: a program may go back to
 * write over them, e.g. for a progress bar. Lines above are only kept by the view.
 */
import { Line } from "./line.js";
import { type SequenceHandler } from "./sequences.js";
/** The lines that a program can reach again: those of the terminal that programs expect. */
export declare const MAX_ROWS = 25;
/** The columns of a line. Longer text continues in the next one, where no newline is shown. */
export declare const MAX_COLUMNS = 1000;
/** Shows the lines. */
export interface TerminalView {
    /** The topmost line can be reached no more. */
    leave(line: Line): void;
    /** A line was erased, together with those below. */
    remove(line: Line): void;
}
/** The address of a link that may be opened; undefined for any other. */
export declare function safeLink(address: string): string | undefined;
export declare class Terminal implements SequenceHandler {
    #private;
    private readonly view;
    constructor(view: TerminalView);
    get lines(): readonly Line[];
    /** Writes output of `stdout` or `stderr`, or what the user has `typed`. */
    write(text: string, file: string): void;
    /** Continues on an empty terminal, because something else stands below the lines so far. */
    startAnew(): void;
    text(text: string): void;
    control(character: string): void;
    csi(parameters: string, final: string): void;
    osc(command: string): void;
    escape(final: string): void;
}
