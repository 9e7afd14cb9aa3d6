/** The page's data in the browser's storage: drafts, and the programs of sessions. */
export interface StoredProgram {
    runtime: string;
    code: string;
}
/** The state of a tab: its program, and the session that it shows. */
export interface TabState extends StoredProgram {
    /** The id of the session. */
    session?: string;
    /** Whether the session is only watched. */
    isWatching?: boolean;
    /** The secret of the share by which another user's session is shown. */
    share?: string;
}
export declare class PageStorage {
    #private;
    constructor({ tab, lasting }?: import("../client/environment.js").Environment);
    /** The state of this tab, which is kept across reloads. */
    get tab(): TabState | undefined;
    set tab(tab: TabState | undefined);
    /** The last code for a runtime that the user has edited. */
    draft(runtime: string): string | undefined;
    storeDraft({ runtime, code }: StoredProgram): void;
    /** The program of a session that this browser started. */
    program(session: string): StoredProgram | undefined;
    storeProgram(session: string, program: StoredProgram): void;
    /** Removes everything that a user has left here. */
    forget(runtimes: string[]): void;
}
