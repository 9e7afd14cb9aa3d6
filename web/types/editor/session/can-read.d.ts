/**
 * Whether a program may read input. Of a program that certainly reads none, the line for its input
 * is not shown. In doubt the answer is yes.
 */
/** Whether a program of a runtime, with these texts as its files, may read input. */
export declare function canRead(runtime: string, texts: Iterable<string>): boolean;
