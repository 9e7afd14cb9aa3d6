/** The cases of a program: which have passed, and what is wrong with the others. */
import type { Case, CaseResult } from "../../client/index.js";
import type { Tools } from "./verdict.js";
export declare class CaseList {
    #private;
    private readonly tools;
    readonly element: HTMLElement;
    constructor(tools: Tools);
    /** Adds the end of a case. `given` is the case, if the page knows it. */
    add(result: CaseResult, given: Case | undefined): void;
}
