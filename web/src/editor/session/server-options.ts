/** The server of an editor, and the user's token there. */

import { browser } from "../../client/environment.js";
import { type SessionDocument, tokenFromUrl, type TokenSource } from "../../client/index.js";
import { Server } from "../../client/server.js";
import { tokenOfTag } from "../../dom/token-of-tag.js";

/** The server that served this script. It knows each field of a request; another may be older. */
export const SCRIPT_SERVER = import.meta.url.replace(/\/static\/[^/]*$/, "");

export interface ServerOptions {
  server: string;
  token?: TokenSource;
  /** The name under which the tab remembers the session. */
  key?: string;
}

/** The options that an element's attributes give. `own` is its own source of tokens. */
export function serverOptionsOf(element: HTMLElement, own: TokenSource | undefined): ServerOptions {
  const key = element.getAttribute("resume");
  const server = element.getAttribute("server") ?? SCRIPT_SERVER;
  const tokenUrl = element.getAttribute("token-url");
  const token = own ?? (tokenUrl ? tokenFromUrl(tokenUrl) : tokenOfTag(server));
  return { server, ...(token ? { token } : {}), ...(key ? { key } : {}) };
}

export const serverOf = ({ server, token }: ServerOptions) => new Server(server, browser(), token);

/** The document of a session as it is now; undefined if the server gives none. */
export async function findAgain(
  { links }: SessionDocument,
  options: ServerOptions,
): Promise<SessionDocument | undefined> {
  const result = await serverOf(options).find(links.self);
  return result.kind === "found" ? result.document : undefined;
}
