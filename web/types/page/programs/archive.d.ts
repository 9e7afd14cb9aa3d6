/**
 * Programs as files: for download, and from files that the user chooses. This part of the page is
 * loaded when it is needed.
 */
import type { Words } from "../../words/words.js";
import type { Program } from "./store.js";
/** A program without what the browser adds to it. */
export type PlainProgram = Pick<Program, "name" | "runtime" | "files">;
/** What is known of a runtime. */
export interface RuntimeFiles {
    name: string;
    /** The file that a program is saved as, e.g. `main.py`. */
    file: string;
    /** Extensions of its source files, without the dot. */
    extensions: string[];
}
/** The size of all files of an upload, in bytes, and their number. */
export declare const MAX_BYTES = 10000000;
/** Why a file cannot become a program. */
export declare class UploadError extends Error {
    /** Tells the reason in the words of a language. */
    readonly describe: (words: Words) => string;
    constructor(
    /** Tells the reason in the words of a language. */
    describe: (words: Words) => string);
}
/** A name that every system allows for a file. */
export declare const fileNameOf: (name: string) => string;
/** A name that a file of a program may have: no part of it leads out of the program's folder. */
export declare const pathOf: (name: string) => string;
/** The name of the file in which a program of one file is downloaded. */
export declare function downloadNameOf({ name, files }: PlainProgram, runtime: RuntimeFiles | undefined): string;
/** All programs as a ZIP file: a file for each program of one file, and a folder for each other. */
export declare function pack(programs: PlainProgram[], runtimes: RuntimeFiles[]): Uint8Array<ArrayBuffer>;
/**
 * The programs in the files that the user has chosen. Files in an archive that are not text are left
 * out, and `onSkipped` is called with their paths. Throws an {@link UploadError}.
 */
export declare function unpack(uploads: {
    name: string;
    bytes: Uint8Array;
}[], runtimes: RuntimeFiles[], current: string, onSkipped?: (path: string) => void): PlainProgram[];
