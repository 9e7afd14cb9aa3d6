/**
 * What an exercise shows below the output: whether the output is the expected one, the program's
 * cases, and a solution. The file is loaded for the first exercise.
 */
import type { Case, CaseResult } from "../../client/index.js";
import type { Words } from "../../words/words.js";
import type { createElement } from "../create-element.js";
import type { describeEnd } from "../describe-end.js";
import type { adoptStyle } from "../style.js";
import type { plain } from "./plain.js";
/** What this file uses of the editor's, which it does not contain itself. */
export interface Tools {
    words: Words;
    createElement: typeof createElement;
    describeEnd: typeof describeEnd;
    adoptStyle: typeof adoptStyle;
    plain: typeof plain;
}
export declare class Verdict {
    #private;
    private readonly status;
    private readonly tools;
    /** `status` tells the verdict. The rest is added to its parent. */
    constructor(status: HTMLElement, tools: Tools);
    clear(): void;
    /** Shows whether the output is the expected one. */
    showExpected(isPassed: boolean, expected: string): void;
    /** Shows the end of a case. `given` is the case, if the page knows it. */
    addCase(result: CaseResult, given: Case | undefined): void;
    /** Shows how many of all cases have passed. */
    showSum(passed: number, all: number): void;
    /** Shows the part that reveals a solution; none if there is no text. */
    setSolution(text: string | undefined): void;
}
