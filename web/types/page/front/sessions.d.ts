/** The list of one's sessions, with a way back into each. */
import { type SessionDocument } from "../../client/messages.js";
import { type Server } from "../../client/server.js";
import type { Memory } from "./memory.js";
/** How long ago something was, in words. */
export declare function ago(date: Date, now?: Date): string;
export declare class Sessions {
    #private;
    private readonly server;
    private readonly memory;
    private readonly titleOf;
    private readonly open;
    constructor(server: Server, memory: Memory, titleOf: (runtime: string) => string, open: (session: SessionDocument) => void);
    show(): Promise<void>;
}
