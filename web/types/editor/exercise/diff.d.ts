/** The difference between what is expected and what was printed, line by line. */
/** A line of the difference; a `gap` stands for lines that are not shown. */
export interface DiffLine {
    kind: "same" | "expected" | "printed" | "gap";
    text: string;
}
/** Whether an expected line and a printed one count as the same. */
export type AreSame = (expected: string, printed: string) => boolean;
/**
 * The difference of two texts as lists of lines: the lines that differ, and a few around them.
 * Empty if no line differs.
 */
export declare function diffLines(expected: string[], printed: string[], areSame: AreSame): DiffLine[];
