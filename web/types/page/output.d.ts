/** A program's output in an element: as text, never as markup, and never more of it than a page bears. */
/** Makes what shows a text. Standard error can be told apart by the page's style. */
export declare function plain(text: string, file: string): Node;
export declare class Output {
    #private;
    private readonly element;
    private readonly render;
    /** Told when something new shows. */
    private readonly onShown;
    constructor(element: Element, render?: typeof plain, 
    /** Told when something new shows. */
    onShown?: () => void);
    /** Adds what was printed on `file`. It shows with the next picture that the browser draws. */
    write(text: string, file: string): void;
    /** Adds a picture: base64 of one of the kinds that an `img` shows without running anything. */
    image(mimetype: unknown, data: unknown): void;
    /** Adds an element, which counts for so many characters. It is made when it shows: of a flood most never do. */
    block(block: () => Element, cost?: number): void;
    clear(): void;
    /** Shows what waits: all of it, or as much as can be made in so many milliseconds. */
    flush(mostMs?: number): void;
}
