/** A program's output in an element: as text, never as markup, and never more of it than a page bears. */
export declare class Output {
    #private;
    private readonly element;
    constructor(element: Element);
    /** Adds what was printed on `file`. It shows with the next picture that the browser draws. */
    write(text: string, file: string): void;
    /** Adds a picture: base64 of one of the kinds that an `img` shows without running anything. */
    image(mimetype: unknown, data: unknown): void;
    clear(): void;
    /** Shows what waits. */
    flush(): void;
}
