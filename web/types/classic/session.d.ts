/**
 * The class `LiveCodeSession` that pages of v0.1 know, implemented with v0.2's sessions. It gains
 * reconnection; otherwise a page gets exactly the messages of v0.1.
 */
import { type Message, type Program, type State, type TokenSource } from "../client/index.js";
export interface ClassicOptions {
    /** The server's address; the default is the origin of this script. */
    base_url?: string;
    runtime: string;
    code?: string;
    code_filename?: string;
    files?: {
        filename: string;
        contents: string;
    }[] | null;
    command?: string[] | null;
    env?: Record<string, string> | null;
    /** Limit of the wall clock, in milliseconds. */
    timeout?: number;
    onMessage?: ((message: Message) => void) | null;
    /** Since v0.2: called with `connecting`, `live`, `reconnecting` or `ended`. */
    onState?: (state: State) => void;
    /**
     * Since v0.2: the user's token, or a function that fetches one. The default is what the script's
     * tag names in `data-token-url`.
     */
    token?: TokenSource;
    /**
     * Since v0.2: standard input stays open for `input()`, and the program has the server's default
     * limit of the wall clock.
     */
    interactive?: boolean;
    /**
     * Since v0.2: the name under which `LiveCodeSession.resume` finds the session after a reload.
     */
    resume?: string;
}
/** The server that served this script. It is the default for `base_url`. */
export declare const scriptOrigin: string | undefined;
/** A message in the form of v0.1, or `undefined` if v0.1 has no such message. */
export declare function asV01(message: Message): Message | undefined;
/** The program for `POST /sessions` that behaves as `exec` of v0.1 did with these options. */
export declare function asProgram(options: ClassicOptions): Program;
export declare class LiveCodeSession {
    #private;
    readonly options: ClassicOptions;
    onMessage: ((message: Message) => void) | null;
    /**
     * Runs a program. With `isResuming` it follows the session that the tab remembers instead: see
     * {@link LiveCodeSession.resume}.
     */
    constructor(options: ClassicOptions, isResuming?: boolean);
    /**
     * Follows the session that this tab had under the name `resume` before a reload. Returns null if
     * there is none.
     */
    static resume(options: ClassicOptions & {
        resume: string;
    }): LiveCodeSession | null;
    get base_url(): URL;
    get runtime(): string;
    get code(): string | undefined;
    get state(): State;
    /** The session's id on the server, once it is known. */
    get id(): string | undefined;
    /** Sends a message as on v0.1's websocket. */
    send(message: Message): void;
    /** Sends an event to the program. */
    event(name: string, data?: unknown): void;
    /** Sends text to the program's standard input, if the session is `interactive`. */
    input(text: string, options?: {
        eof?: boolean;
    }): void;
    /** Ends the program. Its `exitstatus` follows. */
    stop(): void;
    /** Ends the program and delivers no more messages, like closing the websocket in v0.1. */
    close(): void;
}
