/** The page's data in the browser's storage: the state of the tab, and the programs of sessions. */
import { type Files } from "./programs/files.js";
/** A program, as a session runs it. */
export interface SessionProgram {
    runtime: string;
    files: Files;
}
/** The state of a tab: its program, and the session that it shows. */
export interface TabState extends SessionProgram {
    /** The id of the user's program, if it is one. */
    program?: string | undefined;
    /** The revision of that program that the tab knew. */
    revision?: number;
    /** The title of the example, if it is one. */
    title?: string;
    /** The name that a copy of the program gets. */
    copyName?: string;
    /** The link by which the program came, while the address has it. */
    link?: string | undefined;
    /** The id of the session. */
    session?: string;
    /** Whether the session is only watched. */
    isWatching?: boolean;
    /** The secret of the share by which another user's session is shown. */
    share?: string;
    /** The epoch in which the state was stored, which must not be shown to the next user. */
    epoch?: string;
}
export declare class PageStorage {
    #private;
    /** The keys of `localStorage`. */
    private readonly keys;
    constructor(
    /** The keys of `localStorage`. */
    keys: () => string[], { tab, lasting }?: import("../client/environment.js").Environment);
    /** The state of this tab, which is kept across reloads. */
    get tab(): TabState | undefined;
    set tab(tab: TabState);
    /** The program of a session that this browser started. */
    program(session: string): SessionProgram | undefined;
    /** Stores the program of a session. Each has a key of its own: other tabs store theirs, too. */
    storeProgram(session: string, program: SessionProgram): void;
    /** Removes everything that a user has left here. */
    forget(): void;
    /** Removes the state of this tab. */
    forgetTab(): void;
    /**
     * Begins another epoch, because the user signs out: a tab that is frozen now, or opened again, must
     * not show the next user what it had.
     */
    startEpoch(epoch: string): void;
}
