/** What the page around an editor is told of a program: what it writes, its end and its result. */
import type { Case, CaseResult, CasesResult, Message } from "../../client/index.js";
import type { Parts } from "../exercise/parts.js";
/** What a result depends on. */
type Expectations = Pick<Parts, "cases" | "expected" | "solution">;
export declare class Report {
    #private;
    private readonly tell;
    /** The place that shows the result. */
    readonly element: HTMLDivElement;
    /** Whether all cases have ended. */
    hasSum: boolean;
    /** `tell` gives the page an event with its details. */
    constructor(tell: (name: string, detail: unknown) => void);
    /** What the program has written. */
    get output(): string;
    /** Shows another program's part of the report. A page without exercises loads nothing for them. */
    prepare({ cases, expected, solution }: Expectations): void;
    clear(): void;
    handleWrite(message: Message): void;
    /** Tells and shows the end of a case. `cases` are those that the page has given. */
    handleCase(result: CaseResult, cases?: Case[]): void;
    /** Shows the end of all cases. */
    handleCases({ passed, failed, skipped }: CasesResult): void;
    /** Tells the end, with all output; and the result, if there are cases, or an output is expected. */
    handleEnd({ exitstatus, reason }: Message, { expected, cases }: Expectations): void;
}
export {};
