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
}
