/** The part of the dialog by which a session is shared: new links, and those that were made. */
import type { Server } from "../client/server.js";
import { type Shared } from "./share.js";
/** When a link ends, in words. */
export declare function describeExpiry(expires: string, tag?: string, timeZone?: string): string;
export declare class Shares {
    #private;
    private readonly server;
    /** Tells the user how something went. */
    private readonly say;
    constructor(server: Server, 
    /** Tells the user how something went. */
    say: (text: string) => void);
    /**
     * Shows the links of a session; nothing if there is no session, or if the user may not share it.
     */
    show(session: string | undefined, program: Shared): Promise<void>;
}
