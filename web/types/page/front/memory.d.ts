/** What the browser remembers for the page: what is being written, and what each session ran. */
export interface Written {
    runtime: string;
    code: string;
}
/** How the tab stands. */
export interface Tab extends Written {
    session?: string;
    isWatching?: boolean;
}
export declare class Memory {
    #private;
    constructor({ tab, lasting }?: import("../../client/environment.js").Environment);
    /** Over a reload of the tab. */
    get tab(): Tab | undefined;
    set tab(tab: Tab | undefined);
    /** What was last written for a runtime, and is no example. */
    draft(runtime: string): string | undefined;
    keepDraft({ runtime, code }: Written): void;
    /** What a session ran, where it was started here. */
    program(session: string): Written | undefined;
    keepProgram(session: string, written: Written): void;
}
