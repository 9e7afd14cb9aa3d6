/**
 * Runs programs on a LiveCode server, and follows what they do over every interruption.
 *
 * ```js
 * import { run, textOf } from "livecode-client";
 *
 * const session = run({ server: "http://127.0.0.1:8000", runtime: "python", code: "print(6 * 7)" }, {
 *   onMessage: (message) => message.msgtype === "write" && console.log(textOf(message)),
 * });
 * const { exitstatus } = await session.ended;
 * ```
 *
 * @module
 */
import { type Environment } from "./environment.js";
import type { Program } from "./messages.js";
import { type Hooks, Session } from "./session.js";
export { LiveCodeError, textOf } from "./messages.js";
export type { Message, Program, SessionDocument, SourceFile } from "./messages.js";
export { Session } from "./session.js";
export type { Hooks, State } from "./session.js";
export type { Environment } from "./environment.js";
/** Which server, and who we are to it. */
export interface Place {
    /** The server's address, e.g. `https://live.example`. */
    server: string;
    /** Who we are: 32 hexadecimal digits. Without it one is made up, and kept in `localStorage` where the browser lets us. */
    token?: string;
    /** Under this name the session is remembered in the tab, so that {@link pickUp} finds it after a reload. */
    key?: string;
    /** For what is no browser. */
    environment?: Environment;
}
/** Runs a program in a session of its own. */
export declare function run(options: Place & Program, hooks?: Hooks): Session;
/** Follows a session that exists, from its beginning, or after entry number `after`. */
export declare function attach(options: Place & {
    id: string;
    after?: number;
}, hooks?: Hooks): Session;
/** Follows the session that {@link run} remembered under this key in this tab, from its beginning; null where there is none. */
export declare function pickUp(options: Place & {
    key: string;
}, hooks?: Hooks): Session | null;
/** Forgets what {@link run} remembered under this key. */
export declare function forget(options: Pick<Place, "environment"> & {
    key: string;
}): void;
