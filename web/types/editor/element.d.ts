/** The element `<live-code>`: an editor for a program, with its output, canvas and input. */
import { type Session, type State, type TokenSource } from "../client/index.js";
/** Removes the empty first line and the common indentation, which come from the page's source. */
export declare function dedent(text: string): string;
export declare class LiveCode extends HTMLElement {
    #private;
    /**
     * The user's token, or a function that fetches one; in place of the attribute `token-url`. The
     * field has no initial value, which would replace one that was set before the element's upgrade.
     */
    token?: TokenSource;
    connectedCallback(): void;
    disconnectedCallback(): void;
    /** The current code of the first file. */
    get code(): string;
    get state(): State | undefined;
    /** The session that is shown. */
    get session(): Session | undefined;
    /**
     * Shows another program, which has one file. `original` is the code that Reset restores. The
     * user can undo the change.
     */
    load(runtime: string, code: string, original?: string): void;
    /** Shows an existing session. With `watch`, nothing is sent to the session. */
    follow(id: string, { watch }?: {
        watch?: boolean | undefined;
    }): void;
    /** Shows the session that a share opens, by the secret of its link. */
    followShare(share: string): void;
    /**
     * Runs the code as it is now. A program that is still running is ended. With the attribute
     * `visitor`, whoever sees the page may run nothing.
     */
    run(): void;
    /** Ends the program, and its notes. */
    stop(): void;
    /** Restores the code that the page came with. */
    reset(): void;
}
