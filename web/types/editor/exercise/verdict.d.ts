/** Whether the output is the expected one, and what else an exercise shows. */
/** Whether two outputs are the same but for white space that nobody sees. */
export declare const isAsExpected: (output: string, expected: string) => boolean;
export declare class Verdict {
    readonly element: HTMLDivElement;
    clear(): void;
    show(isPassed: boolean, expected: string): void;
}
/** Creates the part that reveals a solution. */
export declare const createSolution: (text: string) => HTMLElement;
