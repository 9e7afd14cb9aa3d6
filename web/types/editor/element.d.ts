/** The element `<live-code>`: an editor for a program, with its output, canvas and input. */
import { type Session, type State, type TokenSource } from "../client/index.js";
import { type Program } from "./program.js";
import type { FollowOptions } from "./session/follow-options.js";
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
    /** The current texts by file name. A single file may have no name, which is empty here. */
    get files(): Map<string, string>;
    /** What the program has written on standard output and standard error: the last 400,000 characters. */
    get output(): string;
    get state(): State | undefined;
    /** The session that is shown. */
    get session(): Session | undefined;
    /**
     * Shows another program, which is a text, or several by their file names, of which the first
     * runs. `original` is what Reset restores.
     */
    load(runtime: string, program: Program, original?: Program): void;
    /**
     * Shows an existing session. With `watch`, nothing is sent to the session. `texts` are those of
     * the program that it runs, if they are known.
     */
    follow(id: string, { watch, texts }?: FollowOptions): void;
    /**
     * Stops following the session, and shows nothing of it any more. Its program runs on if the server
     * keeps it, until another one is run here.
     */
    leave(): void;
    /** Shows the session that a share opens, by the secret of its link. */
    followShare(share: string): void;
    /**
     * Runs the code as it is now. A program that is still running is ended. With the attribute
     * `visitor`, whoever sees the page may run nothing.
     */
    run(): void;
    /** Ends the program, and its notes; or the replay, of which the rest appears at once. */
    stop(): void;
    /**
     * Shows again what a session that has ended has shown: picture by picture, and with its pauses,
     * if this page has seen them.
     */
    replay(): Promise<void>;
    /** Moves the focus to the code. */
    focusCode(): void;
    /** Restores the code that the page came with. */
    reset(): void;
}
