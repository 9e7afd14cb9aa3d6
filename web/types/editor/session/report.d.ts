/** What the page around an editor is told of a program: what it writes, its end and its result. */
import type { Message } from "../../client/index.js";
export declare class Report {
    #private;
    private readonly tell;
    /** `tell` gives the page an event with its details. */
    constructor(tell: (name: string, detail: unknown) => void);
    /** The place that shows whether the output is the expected one. */
    get element(): HTMLElement;
    /** What the program has written. */
    get output(): string;
    clear(): void;
    handleWrite(message: Message): void;
    /** Tells the end, with all output; and the result, if an output is expected. */
    handleEnd({ exitstatus, reason }: Message, expected: string | undefined): void;
}
