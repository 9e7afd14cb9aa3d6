/** The HTTP requests to one server, and the addresses of its resources. */
import { type TokenSource } from "./credentials.js";
import type { Environment, HttpResponse } from "./environment.js";
import { LiveCodeError, type Program, type SessionDocument } from "./messages.js";
/** The result of a request that creates a session or requests its document. */
export type SessionResult = 
/** The session exists, because it was created now or earlier. */
{
    kind: "found";
    document: SessionDocument;
}
/** The server has no sessions: it only speaks v0.1. */
 | {
    kind: "v0.1";
}
/** There was no response. */
 | {
    kind: "unreachable";
}
/** A later request may succeed; the server may say when. */
 | {
    kind: "busy";
    retryAfterMs: number | undefined;
    error: LiveCodeError;
}
/** The same request fails again. */
 | {
    kind: "refused";
    error: LiveCodeError;
};
export declare class Server {
    #private;
    private readonly environment;
    /** The server's address, without a slash at the end. */
    readonly base: string;
    /**
     * `token` identifies the caller. Without it, the caller is a guest: a stored token for this
     * server is used, or on a page of the server's own origin the server's cookie.
     */
    constructor(address: string, environment: Environment, token?: TokenSource);
    /**
     * On the server's own page: forgets a stored token when it has no sessions any more. Earlier
     * versions of the page have stored one; afterwards the cookie names the guest.
     */
    forgetUnusedToken(): Promise<void>;
    /** Creates a session. Requests with the same idempotency key create one session. */
    create(program: Program, idempotencyKey: string): Promise<SessionResult>;
    /** Requests the document of the session at `url`. */
    find(url: string): Promise<SessionResult>;
    /**
     * Requests the document of the session that a share opens. The share's secret stands for the
     * caller, who need not be known otherwise.
     */
    redeem(secret: string): Promise<SessionResult>;
    /** Requests another resource of the server. `path` begins with a slash. */
    get(path: string): Promise<HttpResponse>;
    /** Sends a document to another resource of the server. `path` begins with a slash. */
    post(path: string, document: object): Promise<HttpResponse>;
    /**
     * Deletes the resource at `url`. By default that is a session, whose program ends. The request
     * outlives the page. Throws a {@link LiveCodeError} if the server does not delete the resource.
     * An error with the code `goneCode` says that it exists no more, which is as good.
     */
    remove(url: string, goneCode?: string): Promise<void>;
    /** The address of a session. */
    sessionUrl(id: string): string;
    /**
     * The address of v0.1's websocket; with a ticket if the caller was given a token, and the server
     * makes tickets.
     */
    v01SocketUrl(): Promise<string>;
    /** The address of a session's stream, from the entry that follows number `after`. */
    streamUrl(document: SessionDocument, after: number): string;
}
