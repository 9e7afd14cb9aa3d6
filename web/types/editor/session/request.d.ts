/** The program that a run sends to the server. */
import type { Case, Program } from "../../client/index.js";
import type { Before } from "../exercise/depends.js";
export interface RunOptions {
    runtime: string;
    /** The texts by file name. The first one runs. */
    files: Map<string, string>;
    /** What runs before the first file, and the code that runs after it. */
    before: Before;
    after: string;
    /** The whole input, if it is given. */
    stdin: string | undefined;
    /** The cases with which the program is run, each with its own input. */
    cases: Case[] | undefined;
    /** The limit of the wall clock in milliseconds, if it is not 0. */
    timeout: number;
    /** Whether the server knows all fields of a request. */
    isCurrentServer: boolean;
}
export declare function requestOf(options: RunOptions): Program;
