/** A session as an editor shows it: who may do what with it, and what it does now. */
import type { Rights, Session, SessionDocument } from "../../client/index.js";
import type { SessionOptions } from "./follow-options.js";
import { type Phase } from "./phase.js";
export declare class ShownSession {
    #private;
    readonly options: SessionOptions;
    /** Undefined until the session is followed, and if there is none to follow. */
    session: Session | undefined;
    /** What the session does before its program runs; undefined while the program runs. */
    phase: Phase | undefined;
    /** Whether the program waits for input, as far as the server tells that. */
    isWaiting: boolean;
    /** Whether the program may read input, as far as its text and its waits tell. */
    mayRead: boolean;
    /** Whether no more input can be sent. */
    hasAllInput: boolean;
    /** Whether the code was edited since the session is shown. */
    isEdited: boolean;
    /** Why the session could not be followed to its end, as a key of the words. */
    failure: "notRun" | "notShared";
    /** The texts of the program that the session runs, if they are known. */
    readonly texts: string[] | undefined;
    constructor(options?: SessionOptions);
    /** What the user may do with the session. */
    get rights(): Rights | "own";
    /** Whether the session has ended, and its messages are still arriving. */
    get isPast(): boolean;
    /** Whether the session has not ended. */
    get isRunning(): boolean;
    /** Whether the user can send input that may matter. */
    get takesInput(): boolean;
    /** Whether messages from before the editor followed the session may still be arriving. */
    get isReplaying(): boolean;
    /** The program's running time, in seconds, as far as it is known. */
    get elapsedS(): number | undefined;
    /** What a live session does, in words. */
    get text(): string;
    /**
     * Finds out the phase of a session that is live: its document tells it, or the server, which
     * `find` asks again until the program runs. Calls `show` with each phase.
     */
    watchPhase(find: (document: SessionDocument) => Promise<SessionDocument | undefined>, show: (phase: Phase | undefined) => void): void;
    /** Asks for no further phase. */
    stopWatching(): void;
}
