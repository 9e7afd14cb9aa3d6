/** The files of a program. The first one is run. */
/** Texts by their names. The only file of a program may have no name, which is empty here. */
export type Files = [name: string, text: string][];
export declare const filesOf: (code: string) => Files;
/** Whether a file of a program may have a name: such a name leads to a file below its folder. */
export declare const isFileName: (name: string) => boolean;
export declare const areSame: (one: Files, other: Files) => boolean;
/** Whether so much of the files is gone afterwards that the user may want it back. */
export declare function isDrasticChange(before: Files, after: Files): boolean;
/** A name that none of the others is: the name itself, or with a number after it. */
export declare function freeName(name: string, others: Iterable<string>): string;
