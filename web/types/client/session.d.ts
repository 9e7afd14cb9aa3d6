/**
 * One session, followed from its first message to its last over however many connections that takes.
 *
 * ```text
 *            ┌───────────── pause (grows; cut short when the page wakes) ◀──┐
 *            ▼                                                              │
 *   locate: POST /sessions, later GET ──▶ connect: the stream, ?after=N ──▶ lost
 *                                           │ live
 *                                           ▼
 *                                         exitstatus: ended
 * ```
 */
import type { Environment } from "./environment.js";
import { LiveCodeError, type Message, type Program, type SessionDocument } from "./messages.js";
import { Server } from "./server.js";
/** Where a session stands, as its page sees it. */
export type State = "connecting" | "live" | "reconnecting" | "ended";
/** What a page is told. */
export interface Hooks {
    /** Every message of the session once, in order; `exitstatus` is the last. */
    onMessage?: (message: Message) => void;
    onState?: (state: State) => void;
    /** Output from entry `from` to entry `to` was not kept. (It also comes as a message `gap`, in its place.) */
    onGap?: (from: number, to: number) => void;
    /** Something was refused, or the session cannot be followed any further; then its state is `ended`. */
    onError?: (error: LiveCodeError) => void;
}
/** What to follow: a new session of a program, or one that exists. */
export type Origin = {
    program: Program;
} | {
    url: string;
    after?: number;
};
export declare class Session {
    #private;
    private readonly server;
    private readonly origin;
    private readonly hooks;
    private readonly environment;
    /** Told of the session's document when it is first known. */
    private readonly onLocated;
    /** The `exitstatus` message, once it has come; rejected where it never will. */
    readonly ended: Promise<Message>;
    constructor(server: Server, origin: Origin, hooks: Hooks, environment: Environment, 
    /** Told of the session's document when it is first known. */
    onLocated?: (document: SessionDocument) => void);
    get state(): State;
    /** The session's id, once the server has said it. */
    get id(): string | undefined;
    /** Number of the last entry that was seen. */
    get seq(): number;
    /** How many messages wait for the server. */
    get waiting(): number;
    /** Sends text to standard input, and ends it after that with `eof`. Settled when the program's supervisor has it. */
    input(text: string, options?: {
        eof?: boolean;
    }): Promise<void>;
    /** Sends an event to the program. With `coalesce` only the last of those that could not be sent yet is. */
    event(event: string, data?: unknown, options?: {
        coalesce?: boolean;
    }): Promise<void>;
    /** Sends a signal to the program. */
    signal(signal: "interrupt" | "terminate" | "kill"): Promise<void>;
    /** Ends the program, whatever it does. Its `exitstatus` follows. */
    stop(): void;
    /** Stops following. The program runs on, and can be attached to again. */
    close(): void;
    /** Stops following, ends the program, and has the server forget the session. */
    remove(): void;
}
