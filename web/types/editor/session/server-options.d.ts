/** The server of an editor, and the user's token there. */
import { type SessionDocument, type TokenSource } from "../../client/index.js";
import { Server } from "../../client/server.js";
/** The server that served this script. It knows each field of a request; another may be older. */
export declare const SCRIPT_SERVER: string;
export interface ServerOptions {
    server: string;
    token?: TokenSource;
    /** The name under which the tab remembers the session. */
    key?: string;
}
/** The options that an element's attributes give. `own` is its own source of tokens. */
export declare function serverOptionsOf(element: HTMLElement, own: TokenSource | undefined): ServerOptions;
export declare const serverOf: ({ server, token }: ServerOptions) => Server;
/** The document of a session as it is now; undefined if the server gives none. */
export declare function findAgain({ links }: SessionDocument, options: ServerOptions): Promise<SessionDocument | undefined>;
