/** The program in the address of a frame. */
import type { Program } from "../editor/program.js";
/** Whether an option without a value, or with one that does not deny it, is set. */
export declare function isOption(options: URLSearchParams, name: string): boolean;
/**
 * The program behind the `#`: as a link of the server's page has it (`code`, or `files` if there are
 * several), or as percent-encoded text (`text`), in which `+` stands for itself. The runtime stands
 * there, too, or in the query. Throws if the program is damaged.
 */
export declare function programIn(fragment: string, options: URLSearchParams): Promise<{
    runtime: string;
    program: Program;
}>;
