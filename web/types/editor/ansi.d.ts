/** ANSI colours: what a program prints for a terminal, as pieces of text with the names of their styles. */
export interface Piece {
    text: string;
    /** e.g. `red`, `bold`, `on-blue`. */
    styles: string[];
}
/** Reads one output from its beginning; a sequence may be cut anywhere. */
export declare class Ansi {
    #private;
    read(text: string): Piece[];
}
