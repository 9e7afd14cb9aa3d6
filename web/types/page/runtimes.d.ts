/** The runtimes of the server. */
import { type Example } from "./examples.js";
/** An entry of `GET /runtimes`: the fields that are used. */
export interface Runtime {
    name: string;
    title: string;
    /** The file that a program is saved as, and the extensions of its files. */
    file: string;
    extensions: string[];
    available: boolean;
    /** What is missing on the server, if the runtime is not available. */
    needs?: string;
    /** Whether its hello ran there, if that was tried. */
    check?: {
        failure?: string;
    };
    editor_mode: string;
    example: string;
}
export declare class Runtimes {
    readonly all: Runtime[];
    constructor(all: Runtime[]);
    find(name: string | undefined): Runtime | undefined;
    titleOf(name: string): string;
    /** The examples for a runtime: the runtime's own, and those of this page. */
    examplesOf(name: string): Example[];
    /** What this machine lacks for a runtime, in words; empty if it lacks nothing. */
    lackOf(name: string): string;
    fillPicker(picker: HTMLSelectElement): void;
}
