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

import { browser, type Environment } from "./environment.js";
import type { Program, SessionDocument } from "./messages.js";
import { Server } from "./server.js";
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

const stored = (key: string) => `livecode-session:${key}`;

function place({ server, token, environment = browser() }: Place) {
  return { environment, server: new Server(server, environment, token) };
}

/** Runs a program in a session of its own. */
export function run(options: Place & Program, hooks: Hooks = {}): Session {
  const { server: _server, token: _token, key, environment: _environment, ...program } = options;
  const { environment, server } = place(options);
  if (key) environment.tab.removeItem(stored(key));
  const remember = ({ links }: SessionDocument) => {
    if (key) environment.tab.setItem(stored(key), JSON.stringify({ server: server.base, self: links.self }));
  };
  return new Session(server, { program }, hooks, environment, remember);
}

/** Follows a session that exists, from its beginning, or after entry number `after`. */
export function attach(options: Place & { id: string; after?: number }, hooks: Hooks = {}): Session {
  const { environment, server } = place(options);
  return new Session(server, { url: server.session(options.id), after: options.after ?? 0 }, hooks, environment);
}

/** Follows the session that {@link run} remembered under this key in this tab, from its beginning; null where there is none. */
export function pickUp(options: Place & { key: string }, hooks: Hooks = {}): Session | null {
  const { environment, server } = place(options);
  const text = environment.tab.getItem(stored(options.key));
  if (!text) return null;
  const known = JSON.parse(text) as { server: string; self: string };
  if (known.server !== server.base) return null;
  return new Session(server, { url: known.self }, hooks, environment);
}

/** Forgets what {@link run} remembered under this key. */
export function forget(options: Pick<Place, "environment"> & { key: string }): void {
  (options.environment ?? browser()).tab.removeItem(stored(options.key));
}
