/** What a session does before its program runs: it starts, waits for its turn, or is compiled. */
import type { SessionDocument } from "../../client/index.js";
/** The phase of a session of which nothing else is known yet. */
export declare const STARTING = "starting";
/** The phase of a session that has ended, while its messages arrive. */
export declare const LOADING = "loading what it has shown";
/** The phase of a session, in words; undefined once its program runs. */
export declare function describePhase(document: SessionDocument): string | undefined;
/** Asks for the document of a session again and again, until its program runs. */
export declare class PhaseWatch {
    #private;
    /** Requests the document; the answer is undefined if the server gives none now. */
    private readonly find;
    private readonly onPhase;
    constructor(
    /** Requests the document; the answer is undefined if the server gives none now. */
    find: () => Promise<SessionDocument | undefined>, onPhase: (phase: string | undefined) => void);
    stop(): void;
}
