/**
 * Parses ANSI escape sequences: splits a program's output into pieces of text with style names.
 */
export interface StyledText {
    text: string;
    /** The names of the styles, e.g. `red`, `bold`, `on-blue`. */
    styles: string[];
}
/** Parses one output from its beginning. A sequence may be split between two calls. */
export declare class AnsiParser {
    #private;
    parse(text: string): StyledText[];
}
