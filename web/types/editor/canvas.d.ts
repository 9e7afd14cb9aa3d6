/** A canvas of up to ten layers, drawn at the rate of the display however fast messages come. */
import type { Message } from "../client/index.js";
export type Send = (name: string, data: unknown, options?: {
    coalesce?: boolean;
}) => void;
export declare class Canvas {
    #private;
    private readonly element;
    private readonly send;
    constructor(element: HTMLElement, send: Send);
    get isUsed(): boolean;
    /** Takes a `draw` message. */
    take(message: Message): void;
    /** As it is before a program. */
    clear(): void;
    /** Shows what waits, complete or not: the program has ended. */
    finish(): void;
}
