/**
 * Plays the notes of `play` messages with the browser's Web Audio synthesis. No file is loaded.
 */
import type { Message } from "../client/index.js";
/**
 * The frequency of a note in hertz. The note is a name such as `C4`, `F#3` or `Bb5`, or a MIDI
 * note number; A4, 440 Hz, is 69. Returns undefined for an unknown note, and for one that is too
 * low or too high to hear.
 */
export declare function frequency(note: unknown): number | undefined;
export declare class Music {
    #private;
    /** Called when the first tone is scheduled, and when the last one has ended. */
    private readonly onChange;
    constructor(
    /** Called when the first tone is scheduled, and when the last one has ended. */
    onChange: () => void);
    /** Whether tones are scheduled or sounding. */
    get isSounding(): boolean;
    /** Plays a `play` message. */
    play({ note, duration, at, volume, wave }: Message): void;
    /** Silences all tones. The next note begins a new piece. */
    stop(): void;
}
