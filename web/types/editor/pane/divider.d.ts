/** The line between code and output, which can be dragged, and moved by keys. */
/**
 * Where code and output stand beside each other, the divider sets the code's part of the width,
 * which the browser remembers. Where they stand below each other, it sets the code's height, which
 * depends on the program and is not remembered.
 */
export declare class Divider {
    #private;
    private readonly frame;
    private readonly code;
    private readonly shown;
    readonly element: HTMLDivElement;
    constructor(frame: HTMLElement, code: HTMLElement, shown: HTMLElement);
}
