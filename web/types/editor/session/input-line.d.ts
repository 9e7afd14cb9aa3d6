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
    /**
     * Brings the line into view, because the program waits for it. Puts the cursor into it, unless the
     * user is busy here or elsewhere on the page.
     */
    offer(isBusy: boolean): void;
}
