/** Finds a text in the output, and marks all places where it is. */
export declare class FindBar {
    #private;
    private readonly output;
    readonly element: HTMLElement;
    /** `output` is the element that is searched. */
    constructor(output: HTMLElement);
    /** Shows the bar, and moves the focus there. */
    open(): void;
    close(): void;
    /** Searches again soon, because the output has changed. */
    refresh(): void;
}
