/**
 * Shows a program's output in an element: as text, never as markup, and only as much as the page
 * can hold while it stays responsive.
 */
/** Shows a text at the end of an output. */
export type ShowText = (text: string, file: string, output: Output) => void;
export declare class Output {
    #private;
    private readonly element;
    private readonly showText;
    /** Called when something new is shown. */
    private readonly onShown;
    /** What stands in place of a picture, and of output that was removed. */
    private readonly texts;
    constructor(element: Element, showText?: ShowText, 
    /** Called when something new is shown. */
    onShown?: () => void, 
    /** What stands in place of a picture, and of output that was removed. */
    texts?: {
        picture: string;
        earlierOutput: string;
    });
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
    /** The last node that is shown. */
    get lastNode(): Node | null;
    /** Shows a node with its cost in characters. */
    append(node: Node, cost: number): void;
    /** Sets the cost of a node that has changed, if the node is still shown. */
    setCost(node: Node, cost: number): void;
    clear(): void;
    /** Shows the pending parts: all of them, or those that can be created in `budgetMs`. */
    flush(budgetMs?: number): void;
}
