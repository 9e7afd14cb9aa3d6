/**
 * `LiveCodeSession`, as the pages of v0.1 know it, on sessions underneath: it gains reconnection, and otherwise a page sees
 * exactly v0.1's messages.
 */
import { type Message, type Program, type State } from "../client/index.js";
export interface ClassicOptions {
    /** The server's address; without it, where this script came from. */
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
    /** Wall clock, in milliseconds. */
    timeout?: number;
    onMessage?: ((message: Message) => void) | null;
    /** New: `connecting`, `live`, `reconnecting`, `ended`. */
    onState?: (state: State) => void;
    /** New: standard input stays open for `input()`, and the program has the server's own time. */
    interactive?: boolean;
    /** New: under this name the session is picked up again after a reload, with `LiveCodeSession.resume`. */
    resume?: string;
}
/** Where this script came from: the server, unless the page says otherwise. */
export declare const scriptOrigin: string | undefined;
/** A message as v0.1 would have sent it; `undefined` where it would not. */
export declare function asV01(message: Message): Message | undefined;
/** The request for a session that does what v0.1 did with these options. */
export declare function asProgram(options: ClassicOptions): Program;
export declare class LiveCodeSession {
    #private;
    readonly options: ClassicOptions;
    onMessage: ((message: Message) => void) | null;
    /** `resumes` takes up what the tab remembers instead of running anything: see {@link LiveCodeSession.resume}. */
    constructor(options: ClassicOptions, resumes?: boolean);
    /** Takes up the session that this tab had under the name `resume` before it was loaded anew; null where there is none. */
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
    /** Sends text to the program's standard input, where the session is `interactive`. */
    input(text: string, options?: {
        eof?: boolean;
    }): void;
    /** Ends the program; its `exitstatus` follows. */
    stop(): void;
    /** Hears nothing more, and ends the program, as closing v0.1's websocket did. */
    close(): void;
}
