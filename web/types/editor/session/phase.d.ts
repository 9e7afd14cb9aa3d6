/** What a session does before its program runs: it starts, waits for its turn, or is compiled. */
import type { Message, SessionDocument } from "../../client/index.js";
export interface Phase {
    /**
     * Nothing else is known yet; the session waits for its turn; its program is compiled; or the
     * session has ended, and its messages arrive.
     */
    kind: "starting" | "waiting" | "compiling" | "loading";
    /** The phase in words. */
    text: string;
}
export declare const starting: () => Phase;
/** The phase of a session; undefined once its program runs. */
export declare function phaseOf(document: SessionDocument): Phase | undefined;
/**
 * Whether a message can only come from the program that runs. A compiler writes to standard error,
 * and a user may type early.
 */
export declare const isOfProgram: ({ msgtype, file, stage }: Message) => boolean;
/** Asks for the document of a session again and again, until its program runs. */
export declare class PhaseWatch {
    #private;
    /** Requests the document; the answer is undefined if the server gives none now. */
    private readonly find;
    private readonly onPhase;
    constructor(
    /** Requests the document; the answer is undefined if the server gives none now. */
    find: () => Promise<SessionDocument | undefined>, onPhase: (phase: Phase | undefined) => void);
    stop(): void;
}
