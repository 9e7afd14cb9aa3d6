/** One server's HTTP side: who we are to it, and where its sessions are. */
import type { Environment } from "./environment.js";
import { LiveCodeError, type Program, type SessionDocument } from "./messages.js";
/** What came of a request for a session. */
export type Located = {
    is: "found";
    document: SessionDocument;
}
/** The server does not know sessions: it speaks v0.1 alone. */
 | {
    is: "old";
}
/** Nobody answered. */
 | {
    is: "unreachable";
}
/** Not now; in so many milliseconds, where the server says. */
 | {
    is: "busy";
    retryAfterMs: number | undefined;
    error: LiveCodeError;
}
/** Never. */
 | {
    is: "refused";
    error: LiveCodeError;
};
export declare class Server {
    #private;
    private readonly environment;
    /** Its address, without a slash at the end. */
    readonly base: string;
    constructor(address: string, environment: Environment, token?: string);
    /** Has the session made. The same key twice makes one session. */
    create(program: Program, key: string): Promise<Located>;
    /** Looks a session up. */
    find(url: string): Promise<Located>;
    /** What its sessions are that we made; null where it does not say. */
    list(): Promise<SessionDocument[] | null>;
    /** Ends and forgets a session. Also while the page goes away. */
    remove(url: string): Promise<void>;
    /** The address of a session by its id. */
    session(id: string): string;
    /** The address of v0.1's websocket. */
    get oldSocket(): string;
    /** The address of a session's stream, for what follows entry `after`. */
    stream(document: SessionDocument, after: number): string;
}
