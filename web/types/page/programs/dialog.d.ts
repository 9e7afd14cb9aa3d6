/**
 * The dialog with the user's programs. It is loaded when it is first opened, and imports nothing
 * that the page has, so that it stays a file of its own.
 */
import type { Program, ProgramStore } from "./store.js";
import type { Words } from "../../words/words.js";
import type { Runtime } from "../runtimes.js";
/** What the dialog needs of the page. */
export interface Page {
    words: Words;
    dialog: HTMLDialogElement;
    store: ProgramStore;
    runtimes: Runtime[];
    titleOf(runtime: string): string;
    describeAge(date: Date): string;
    formatTime(date: Date): string;
    freeName(name: string, others: Iterable<string>): string;
    isFileName(name: string): boolean;
    newId(): string;
    /** The runtime of the editor, and its program if it is one of the user's. */
    current(): {
        runtime: string;
        program: string | undefined;
    };
    /** Stores everything that the user has written, if the browser can. */
    flush(): Promise<void>;
    /** The programs as they were written last, also those that could not be stored. */
    list(): Promise<Program[]>;
    isQuotaError(error: unknown): boolean;
    open(program: Program): void;
    openNew(): void;
    /** Tells the page that a program was deleted here. */
    onDeleted(id: string): void;
    /** Tells the page that a program was stored here. */
    onStored(id: string): void;
}
export declare class ProgramsDialog {
    #private;
    private readonly page;
    constructor(page: Page);
    show(): Promise<void>;
}
