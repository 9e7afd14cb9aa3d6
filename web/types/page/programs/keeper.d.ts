/**
 * Keeps what the user writes. The editor shows an entry: an example, a link's program, or a program
 * of the user. The first edit of the former makes the latter: a copy, so that nothing is replaced.
 *
 * Whatever was on the screen for a moment is in the browser's IndexedDB. What could not be stored
 * there, because the page is being closed or the browser has no space, is in `localStorage` until
 * it can.
 */
import type { Environment, Store } from "../../client/environment.js";
import { type Files } from "./files.js";
import { type Program, type ProgramStore } from "./store.js";
/** What the editor shows. */
export interface Entry {
    /** The title of an example; empty for everything else. */
    title: string;
    /** The name that a copy gets. */
    copyName: string;
    runtime: string;
    /** The files as they were loaded or stored last. */
    files: Files;
    /** What Reset restores. */
    original?: Files | undefined;
    /** The program of the user; undefined until there is one. */
    program?: Program | undefined;
}
export interface KeeperHooks {
    /** Returns the files as they are in the editor now. */
    readFiles(): Files;
    /** Called when the entry's program was stored, or given a new name. */
    onSaved(entry: Entry): void;
    /** Called when another tab has stored the entry's program, which the editor is to show. */
    onReplaced(entry: Entry): void;
    /** Called when another tab has changed the program, and the own changes became a copy. */
    onCopied(copy: Program, stored: Program): void;
    /** Called when storing fails, and when it succeeds again, with no error. */
    onProblem(error: unknown): void;
}
export declare class Keeper {
    #private;
    private readonly store;
    private readonly environment;
    /** The keys of `localStorage`. */
    private readonly keys;
    private readonly hooks;
    /** What the editor shows. */
    entry: Entry;
    constructor(store: ProgramStore, environment: Pick<Environment, "hex" | "lasting">, 
    /** The keys of `localStorage`. */
    keys: () => string[], hooks: KeeperHooks);
    /** Whether there are edits that are not being stored yet. */
    get isDirty(): boolean;
    /** Notes that the editor shows another entry now. The edits of the entry before are stored. */
    open(entry: Entry): void;
    /** Notes that the user has edited something. */
    handleEdit(): void;
    /** Notes that the program is run: what was run becomes a version, so that it can be found again. */
    handleRun(): void;
    /** Stores the edits, and waits until everything is stored. */
    flush(): Promise<void>;
    /**
     * Stores the edits where that is done at once, because the page may be closed now. The browser
     * drops what it has not finished storing then, so that is put aside, too.
     */
    flushNow(): void;
    /** Stores what an earlier page could not store, and tries again if that fails. */
    recover(): Promise<void>;
    /** The programs that could not be stored yet, as they were written last. */
    unsaved(): Program[];
    /** The entry of a program that is not stored yet as it was written last. */
    unfinished(id: string): Entry | undefined;
    /** Stores a program no more that could not be stored, because the user has deleted it. */
    drop(id: string): void;
    /** The program with this id as it was put aside, if it could not be stored yet. */
    aside(id: string): Program | undefined;
    /** Takes over what another tab, or a dialog of this one, has stored. */
    handleStoredElsewhere(id: string): Promise<void>;
    /** Makes a program of the entry before it is edited, e.g. to give it a name. */
    keep(): Promise<Program>;
    /** Stores nothing more, because the user signs out, and waits for what is being stored. */
    stop(): Promise<void>;
    /** Removes what could not be stored. */
    forget(): void;
    /** Tells of a problem with the browser's store, or with no error that there is none any more. */
    report(error: unknown): void;
}
/** The keys of `localStorage`; none if the browser refuses access to it. */
export declare function keysOf(storage: () => Storage): string[];
/** The programs of earlier versions of this page, which kept one draft for each runtime. */
export declare function takeDrafts(keys: string[], lasting: Store): {
    runtime: string;
    code: string;
}[];
