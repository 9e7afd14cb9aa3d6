/** Plays the notes of `play` messages with the browser's own synthesis: nothing is loaded. */
import type { Message } from "../client/index.js";
/** Hertz of a note: a name such as `C4`, `F#3` or `Bb5`, or a number as in MIDI; A4, 440 Hz, is 69. */
export declare function frequency(note: unknown): number | undefined;
export declare class Music {
    #private;
    /** Takes a `play` message. */
    take({ note, duration, at, volume, wave }: Message): void;
    /** Silence, and the beginning of another piece. */
    stop(): void;
}
