/**
 * One session, followed from its first message to its last, over as many connections as needed.
 *
 * ```text
 *   ┌───────── pause (backoff; skipped when the page wakes) ◀───────────┐
 *   ▼                                                                   │
 * locate: POST /sessions, later GET ──▶ connect: the stream, ?after=N ──┴ connection lost
 *                                         │ live
 *                                         ▼
 *                                       exitstatus: ended
 * ```
 */
import type { Environment } from "./environment.js";
import { LiveCodeError, type Message, type Program, type SessionDocument } from "./messages.js";
import { Server } from "./server.js";
/** The state of a session, as a page sees it. */
export type State = "connecting" | "live" | "reconnecting" | "ended";
/** The callbacks of a page. */
export interface Hooks {
    /** Called with every message of the session, once and in order; `exitstatus` is the last. */
    onMessage?: (message: Message) => void;
    /** Called with the new state after each change. */
    onState?: (state: State) => void;
    /**
     * Called when the entries from number `from` to number `to` are missing in the journal. The gap
     * is also a message, in its place.
     */
    onGap?: (from: number, to: number) => void;
    /**
     * Called when the server refuses something. If the session cannot be followed any further, its
     * state is `ended` afterwards.
     */
    onError?: (error: LiveCodeError) => void;
}
/** The session to follow: a new one that runs a program, or an existing one. */
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
    /** Called with the session's document when it is first known. */
    private readonly onLocated;
    /** The `exitstatus` message. Rejects if the session cannot be followed to its end. */
    readonly ended: Promise<Message>;
    constructor(server: Server, origin: Origin, hooks: Hooks, environment: Environment, 
    /** Called with the session's document when it is first known. */
    onLocated?: (document: SessionDocument) => void);
    get state(): State;
    /** The session's id, once the server has sent it. */
    get id(): string | undefined;
    /** Number of the last entry that was received. */
    get seq(): number;
    /** The number of sent messages that wait for the server. */
    get waiting(): number;
    /**
     * Sends text to standard input; with `eof`, standard input ends after it. The promise resolves
     * once the program's supervisor has the text.
     */
    input(text: string, options?: {
        eof?: boolean;
    }): Promise<void>;
    /**
     * Sends an event to the program. With `coalesce` the event replaces the last unsent message if
     * that is an event with the same name.
     */
    event(event: string, data?: unknown, options?: {
        coalesce?: boolean;
    }): Promise<void>;
    /** Sends a signal to the program. */
    signal(signal: "interrupt" | "terminate" | "kill"): Promise<void>;
    /** Kills the program. The session's `exitstatus` follows. */
    stop(): void;
    /** Stops following. The program keeps running, and its session can be attached to again. */
    close(): void;
    /** Stops following, and deletes the session on the server, which ends its program. */
    remove(): void;
}
