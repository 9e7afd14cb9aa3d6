/**
 * What the page shows: a program in the editor, and beside it the session that ran it. A program is
 * an example, one that came by a link, or one of the user's, which are kept.
 */
import type { LiveCode } from "../editor/element.js";
import { type Files } from "./programs/files.js";
import { type Entry, Keeper } from "./programs/keeper.js";
import { type Program, type ProgramStore } from "./programs/store.js";
import type { Runtimes } from "./runtimes.js";
import type { PageStorage, SessionProgram, TabState } from "./storage.js";
export interface WorkspaceParts {
    editor: LiveCode;
    runtimes: Runtimes;
    picker: HTMLSelectElement;
    notice: HTMLElement;
    /** The groups of buttons for the examples, and for the user's programs. */
    examples: HTMLElement;
    own: HTMLElement;
}
/** Takes a link out of the page's address, where its secret is not to be seen, and returns it. */
export declare function takeFragment(): string;
export declare class Workspace {
    #private;
    private readonly parts;
    private readonly storage;
    private readonly store;
    private readonly keys;
    readonly keeper: Keeper;
    constructor(parts: WorkspaceParts, storage: PageStorage, store: ProgramStore, keys: () => string[]);
    get runtime(): string;
    get files(): Files;
    /** The programs of the user, the last changed first. */
    get programs(): Program[];
    /** The programs of the user as they were written last, also those that could not be stored. */
    list(): Promise<Program[]>;
    /**
     * Stores what an earlier page could not, and reads the programs. A browser that does not answer
     * must not keep the user from running a program: what it has is shown when it answers.
     */
    start(): Promise<void>;
    /** Shows an entry in the editor, in place of the current one, which is kept. */
    show(entry: Entry): void;
    /** Shows a program of the user. The one that is shown stays as it is, with its session. */
    showProgram(program: Program): void;
    /** Shows a program of the user as it was written last, also in another tab. */
    open(program: Program): Promise<void>;
    /** Shows an empty program. */
    showNew(): void;
    /** Restores the state of the tab before a reload. */
    restore(tab: TabState | undefined): Promise<void>;
    /**
     * Opens the link in a fragment: shows its program or follows its session. No program is run before
     * the user presses Run. Calls `otherwise` if there is no link.
     */
    openLink(fragment: string, otherwise: () => unknown): Promise<void>;
    /** Follows a session, and shows the program that it runs. */
    followSession(id: string, { watch, program, runtime }: {
        watch: boolean;
        program?: SessionProgram | undefined;
        runtime?: string;
    }): void;
    /** Shows the user's programs as they are now. */
    refresh(): Promise<void>;
    storeTab(): void;
}
