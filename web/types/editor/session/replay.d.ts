/**
 * What a session has shown is shown again: its drawings picture by picture, and its messages with
 * the pauses between them, as far as this page has seen those. The file is loaded for the first
 * replay.
 */
import type { Message } from "../../client/index.js";
import type { Recorded } from "./recording.js";
export declare class Replay {
    #private;
    private readonly recorded;
    private readonly show;
    /** Called once everything is shown. */
    private readonly onEnd;
    constructor(recorded: Recorded[], show: (message: Message) => void, 
    /** Called once everything is shown. */
    onEnd: () => void);
    start(): void;
    /** Shows what is left at once. */
    finish(): void;
    /** Shows nothing more. */
    cancel(): void;
}
