/** The parts of a program, as the children of its element give them. */
import type { Case } from "../../client/index.js";
/** The lines of a file that users cannot change, from 1; or all of them. */
export type FixedLines = number[] | "all";
export interface Parts {
    /** The texts that users see, by file name. The first one runs. */
    files: Map<string, string>;
    /** The lines that users cannot change, by file name. */
    fixed: Map<string, FixedLines>;
    /** Code that runs before and after that of the first file, and is not shown. */
    setup: string;
    teardown: string;
    /** The whole input of the program. */
    stdin: string | undefined;
    /** The output that is expected. */
    expected: string | undefined;
    solution: string | undefined;
    /** The cases with which the program is run. */
    cases: Case[] | undefined;
    /** Why the program cannot be run, in words. */
    problem: string | undefined;
}
/** The parts of a program that consists of files alone. */
export declare const partsOf: (files: Map<string, string>) => Parts;
/**
 * The parts that an element's children give: those with `data-part`, and the files, which are
 * those with `data-filename`, or else the only `<pre>`, or the remaining text.
 */
export declare function partsIn(element: HTMLElement): Parts;
