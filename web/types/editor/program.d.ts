/** The files of a program, as the page gives them. */
/** The name of a file without one beside others. Another file may have this name. */
export declare const UNNAMED_FILE = "code";
/** A program: the text of its only file, or the texts of several by their names. */
export type Program = string | Map<string, string>;
/** The texts of a program by file name. A single file may have no name, which is empty here. */
export declare const named: (program: Program) => Map<string, string>;
/** Removes the empty first line and the common indentation, which come from the page's source. */
export declare function dedent(text: string): string;
