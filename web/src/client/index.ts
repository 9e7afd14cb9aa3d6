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
import { browser, type Environment } from "./environment.js";
import type { Program, SessionDocument } from "./messages.js";
import { Server } from "./server.js";
import { type Hooks, Session } from "./session.js";

export { LiveCodeError, textOf } from "./messages.js";
export type {
  Case,
  CaseResult,
  CasesResult,
  CompileSummary,
  Diagnostic,
  Message,
  Program,
  Rights,
  SessionDocument,
  SourceFile,
} from "./messages.js";
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

/** The key of the tab's store for a session that is remembered under `key`. */
const storageKey = (key: string) => `livecode-session:${key}`;

/** The server and the environment that these options describe. */
function createServer({ server, token, environment = browser() }: Place) {
  return { environment, server: new Server(server, environment, token) };
}

/** Creates a session, which runs the program. */
export function run(options: Place & Program, hooks: Hooks = {}): Session {
  const { server: _server, token: _token, key, environment: _environment, ...program } = options;
  const { environment, server } = createServer(options);
  if (key) environment.tab.removeItem(storageKey(key));
  const remember = ({ links }: SessionDocument) => {
    if (!key) return;
    const remembered = JSON.stringify({ server: server.base, self: links.self });
    environment.tab.setItem(storageKey(key), remembered);
  };
  return new Session(server, { program }, hooks, environment, remember);
}

/**
 * Follows an existing session, from its beginning or after the entry with number `after`: the one
 * with this id, or the one that a share opens, by the secret that its link has in `#share=`.
 */
export function attach(
  options: Place & ({ id: string } | { share: string }) & { after?: number },
  hooks: Hooks = {},
): Session {
  const after = options.after ?? 0;
  if ("share" in options) {
    // The secret stands for the caller, so that no token is made or fetched.
    const { environment, server } = createServer({ ...options, token: () => "" });
    return new Session(server, { share: options.share, after }, hooks, environment);
  }
  const { environment, server } = createServer(options);
  return new Session(server, { url: server.sessionUrl(options.id), after }, hooks, environment);
}

/**
 * Follows, from its beginning, the session that {@link run} remembered under `key` in this tab.
 * Returns null if there is none.
 */
export function pickUp(options: Place & { key: string }, hooks: Hooks = {}): Session | null {
  const { environment, server } = createServer(options);
  const text = environment.tab.getItem(storageKey(options.key));
  if (!text) return null;
  const remembered = JSON.parse(text) as { server: string; self: string };
  if (remembered.server !== server.base) return null;
  return new Session(server, { url: remembered.self }, hooks, environment);
}

/** Forgets the session that {@link run} remembered under `key`. */
export function forget(options: Pick<Place, "environment"> & { key: string }): void {
  (options.environment ?? browser()).tab.removeItem(storageKey(options.key));
}
