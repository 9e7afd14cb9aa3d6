/**
 * One session, followed from its first message to its last, over as many connections as needed.
 *
 * ```text
 *   ┌────────── pause (backoff; skipped when the page wakes) ◀─────────┐
 *   ▼                                                                  │ connection lost
 * create or find the session ──▶ connect to the stream, ?after=N ──────┘
 *   POST /sessions, later GET      │ live
 *                                  ▼
 *                                `exitstatus`: ended
 * ```
 *
 * If the server is busy or unreachable, the request is repeated after such a pause, too. After the
 * loss of a connection that was established, the request is skipped, unless the server closed it
 * for a violation of its policy: the caller's token or the share may have ended then.
 */
import type { Environment } from "./environment.js";
import { LiveCodeError, type Message, type Program, type Rights, type SessionDocument } from "./messages.js";
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
     * Called when the server is busy or a quota is used up for a while, and the request is going to
     * be repeated. `error` tells why.
     */
    onBusy?: (error: LiveCodeError) => void;
    /**
     * Called when the entries from number `from` to number `to` are missing in the journal. The gap
     * is also a message, in its place.
     */
    onGap?: (from: number, to: number) => void;
    /**
     * Called when the program waits for standard input, and when it does not wait any more, if the
     * server tells that. With `exitstatus`, and with a lost connection, a wait is over; the next
     * connection tells it again.
     */
    onWaiting?: (isWaiting: boolean) => void;
    /**
     * Called when the server refuses something before `exitstatus`, or when the session cannot be followed any further;
     * its state is `ended` after the latter. A message that the client itself rejects, e.g. because
     * too many messages wait, only rejects the promise that its call returned.
     */
    onError?: (error: LiveCodeError) => void;
}
/**
 * The session to follow: a new one that runs a program, an existing one, or the one that the secret
 * of a share opens.
 */
export type SessionSource = {
    program: Program;
} | {
    url: string;
    after?: number;
} | {
    share: string;
    after?: number;
};
export declare class Session {
    #private;
    private readonly server;
    private readonly source;
    private readonly hooks;
    private readonly environment;
    /** Called with the session's document when it is first known. */
    private readonly onFound;
    /** The `exitstatus` message. Rejects if the session cannot be followed to its end. */
    readonly ended: Promise<Message>;
    constructor(server: Server, source: SessionSource, hooks: Hooks, environment: Environment, 
    /** Called with the session's document when it is first known. */
    onFound?: (document: SessionDocument) => void);
    get state(): State;
    /** The session's id, once the server has sent it. */
    get id(): string | undefined;
    /** The session's document, as the server answered it before the session was followed. */
    get document(): SessionDocument | undefined;
    /**
     * The rights of the share by which the session is followed, once they are known; undefined if it
     * is followed by no share.
     */
    get rights(): Rights | undefined;
    /** Number of the last entry that was received. */
    get seq(): number;
    /**
     * The number of messages that the server has not acknowledged, whether they were sent or not.
     */
    get waiting(): number;
    /**
     * Sends text to standard input; with `eof`, standard input ends after the text. The promise
     * resolves once the program's supervisor has the whole text.
     */
    input(text: string, options?: {
        eof?: boolean;
    }): Promise<void>;
    /**
     * Sends an event to the program. With `coalesce` the event replaces the last unsent message if
     * that is an event with the same name, also sent with `coalesce`. The promise resolves once the
     * program's supervisor has the event, or when another event replaces the event.
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
    /**
     * Stops following, and deletes the session on the server, which ends its program. The session of
     * a share belongs to somebody else, and stays.
     */
    remove(): void;
}
