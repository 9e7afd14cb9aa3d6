/**
 * The places in a program's files that its output names: where a traceback passed, or a compiler
 * found a mistake. The output is a stranger's, so a place may be wrong; it is only shown.
 */
/** A place in a file of the program. Lines and columns begin with 1. */
export interface Place {
    file: string;
    line: number;
    column: number | undefined;
}
/** A place, and the part of a line of output that names it, as indices of characters. */
export interface FoundPlace extends Place {
    from: number;
    to: number;
}
/** Finds the places that a line of output names. */
export type FindPlaces = (text: string) => FoundPlace[];
/** A function that finds places in the files of a program, whose texts are given by file name. */
export declare function placeFinder(runtime: string, files: Map<string, string>): FindPlaces;
