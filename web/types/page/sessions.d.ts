/** The dialog with the list of the user's sessions. */
import { type SessionDocument } from "../client/messages.js";
import { type Server } from "../client/server.js";
import type { PageStorage } from "./storage.js";
/** The time since a date, in words. */
export declare function describeAge(date: Date, now?: Date): string;
export declare class SessionsDialog {
    #private;
    private readonly server;
    private readonly storage;
    /** The names and titles of all runtimes. */
    private readonly titles;
    /** Called with the session that the user opens. */
    private readonly onOpen;
    constructor(server: Server, storage: PageStorage, 
    /** The names and titles of all runtimes. */
    titles: Map<string, string>, 
    /** Called with the session that the user opens. */
    onOpen: (session: SessionDocument) => void);
    /** Opens the dialog, and lists the sessions with the newest first. */
    show(): Promise<void>;
}
