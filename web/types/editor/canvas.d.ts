/**
 * A canvas of up to ten layers. It is drawn at the display's frame rate, however fast messages
 * arrive.
 */
import type { Message } from "../client/index.js";
/** Sends an event to the program. */
export type SendEvent = (name: string, data: unknown, options?: {
    coalesce?: boolean;
}) => void;
export declare class Canvas {
    #private;
    private readonly element;
    private readonly sendEvent;
    constructor(element: HTMLElement, sendEvent: SendEvent);
    /** Whether a `draw` message has arrived since the last `clear`. */
    get isUsed(): boolean;
    /** Adds a `draw` message, which is drawn with a frame of the display. */
    add(message: Message): void;
    /** Removes everything, before another program uses the canvas. */
    clear(): void;
    /** Draws the pending messages even if no `frame` follows, because the program has ended. */
    finish(): void;
}
