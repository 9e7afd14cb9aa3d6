/**
 * Runs programs on a LiveCode server, and follows their sessions across lost connections.
 *
 * ```js
 * import { run, textOf } from "livecode-client";
 *
 * const program = { server: "http://127.0.0.1:8000", runtime: "python", code: "print(6 * 7)" };
 * const session = run(program, {
 *   onMessage: (message) => message.msgtype === "write" && console.log(textOf(message)),
 * });
 * const { exitstatus } = await session.ended;
 * ```
 *
 * @module
 */
import type { TokenSource } from "./credentials.js";
import { type Environment } from "./environment.js";
import type { Program } from "./messages.js";
import { type Hooks, Session } from "./session.js";
export { LiveCodeError, textOf } from "./messages.js";
export type { Case, CaseResult, CasesResult, CompileSummary, Diagnostic, Message, Program, Rights, SessionDocument, SourceFile, } from "./messages.js";
export { Session } from "./session.js";
export type { Hooks, State } from "./session.js";
export type { Environment } from "./environment.js";
export type { TokenSource } from "./credentials.js";
export { tokenFromUrl } from "./token-url.js";
/**
 * The server's address and the options of the requests to it. Each function takes them together
 * with its own options.
 */
export interface Place {
    /** The server's address, e.g. `https://live.example`. */
    server: string;
    /**
     * The caller's token, or a function that fetches one, which is called again when the server
     * refuses the token. Neither is stored. Without it the caller is a guest: on a page of the
     * server's own origin known by the server's cookie, and otherwise by a token that is generated
     * for each server, and kept in `localStorage` if the browser allows that.
     */
    token?: TokenSource;
    /** The name under which the tab remembers the session for {@link pickUp} after a reload. */
    key?: string;
    /** The platform functions; the default is those of the browser. */
    environment?: Environment;
}
/** Creates a session, which runs the program. */
export declare function run(options: Place & Program, hooks?: Hooks): Session;
/**
 * Follows an existing session, from its beginning or after the entry with number `after`: the one
 * with this id, or the one that a share opens, by the secret that its link has in `#share=`.
 */
export declare function attach(options: Place & ({
    id: string;
} | {
    share: string;
}) & {
    after?: number;
}, hooks?: Hooks): Session;
/**
 * Follows, from its beginning, the session that {@link run} remembered under `key` in this tab.
 * Returns null if there is none.
 */
export declare function pickUp(options: Place & {
    key: string;
}, hooks?: Hooks): Session | null;
/** Forgets the session that {@link run} remembered under `key`. */
export declare function forget(options: Pick<Place, "environment"> & {
    key: string;
}): void;
