/**
 * Splits a program's output into text, control characters and escape sequences (ECMA-48). A
 * sequence may be split between two calls in any place.
 */
/** Called for the parts of the output, in their order. */
export interface SequenceHandler {
    /** A text without control characters. */
    text(text: string): void;
    /** A control character, other than the beginning of a sequence. */
    control(character: string): void;
    /** `ESC [ parameters final`, e.g. for a colour or a movement of the cursor. */
    csi(parameters: string, final: string): void;
    /** `ESC ] command`, e.g. for a link or the title of the window. */
    osc(command: string): void;
    /** `ESC final`. */
    escape(final: string): void;
}
/** Parses one output from its beginning. */
export declare class SequenceParser {
    #private;
    parse(text: string, handler: SequenceHandler): void;
    /** Forgets an unfinished sequence, because output after it is missing. */
    reset(): void;
}
