/** The line in which the user types input for the program. */
export declare class InputLine {
    #private;
    /** Sends text to the program; with `eof`, its input ends after the text. */
    private readonly send;
    readonly form: HTMLFormElement;
    readonly input: HTMLInputElement;
    constructor(
    /** Sends text to the program; with `eof`, its input ends after the text. */
    send: (text: string, eof: boolean) => void);
    /** Shows or hides the line. The focus must not be lost with it, but moves to `next`. */
    show(isShown: boolean, next: HTMLElement): void;
    /**
     * Brings the line into view, because the program waits for it, and puts the cursor into it. The
     * user who is busy elsewhere keeps the focus: in another part of the page, in the search, or in
     * code that was edited since the program was started. Nothing moves if the editor is out of view.
     */
    offer(isCodeEdited: boolean): void;
}
