/** What a session has shown, and the pauses in it, so that it can be shown again. */
import type { Message } from "../../client/index.js";
export interface Recorded {
    message: Message;
    /** The pause before the message, in milliseconds. */
    pauseMs: number;
}
/** The messages that a session has shown. */
export declare class Recording {
    #private;
    /** Adds a message, which has arrived just now. Only those of a live session come with its pauses. */
    add(message: Message, isLive: boolean): void;
    /** The messages, if they have shown more than what is seen in the end. */
    get messages(): Recorded[] | undefined;
}
