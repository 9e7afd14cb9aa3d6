/**
 * Shows a program's output in an element: as text, never as markup, and only as much as the page
 * can hold while it stays responsive.
 */
/**
 * Creates the node that shows a text. If `file` is `stderr`, the node has the class `stderr`, so
 * that the page's style can tell standard error apart.
 */
export declare function renderPlain(text: string, file: string): Node;
export declare class Output {
    #private;
    private readonly element;
    private readonly render;
    /** Called when something new is shown. */
    private readonly onShown;
    constructor(element: Element, render?: typeof renderPlain, 
    /** Called when something new is shown. */
    onShown?: () => void);
    /**
     * Adds text, which is shown with the browser's next frame. `file` is `stdout`, `stderr`, or
     * `typed` for the user's input.
     */
    write(text: string, file: string): void;
    /** Adds a picture in base64. Types that could execute something are ignored. */
    image(mimetype: unknown, data: unknown): void;
    /**
     * Adds an element with its cost in characters. The element is created when it is shown, because
     * most elements of a flood never are.
     */
    block(createBlock: () => Element, cost?: number): void;
    clear(): void;
    /** Shows the pending parts: all of them, or those that can be created in `budgetMs`. */
    flush(budgetMs?: number): void;
}
