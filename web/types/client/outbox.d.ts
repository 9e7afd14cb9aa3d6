/**
 * The queue of messages to the program. Each message is kept until the server acknowledges that
 * the program's supervisor has it.
 */
import { LiveCodeError } from "./messages.js";
/** How a message relates to the other messages of the outbox. */
export interface OutboxOptions {
    /**
     * Messages with the same ordering key are in flight one at a time. So none of them overtakes
     * another one that the server refused because a queue was full.
     */
    orderingKey?: string;
    /** The message replaces the last message of the outbox if that is unsent and has the same key. */
    coalescingKey?: string;
}
export declare class Outbox {
    #private;
    private readonly clientId;
    /** `clientId` makes the ids of this page's messages unique among all pages of the session. */
    constructor(clientId: string);
    /** The number of messages that the server has not acknowledged, whether they were sent or not. */
    get size(): number;
    /**
     * Appends a message. The promise resolves once the server acknowledges the message. It also
     * resolves when a later message with the same coalescing key replaces the message, which is then
     * not sent any more. It rejects if the server refuses the message for another reason than a full
     * queue, if the message is too large or the outbox is full, or if the session ends first.
     */
    add(message: object, options?: OutboxOptions): Promise<void>;
    /** The messages to send now, as JSON and in order. They count as sent from now on. */
    takeSendable(): string[];
    /**
     * Marks every message as unsent after a lost connection, so that the next connection sends it
     * again. The supervisor passes on only the first message with an id (it remembers the last 4,096
     * ids), so a message that had arrived does not reach the program twice.
     */
    markAllUnsent(): void;
    /** Removes a message that the server has acknowledged. */
    acknowledge(id: unknown): void;
    /** Removes a message that the server has refused. */
    reject(id: unknown, error: LiveCodeError): void;
    /**
     * Marks a message as unsent, because the server cannot accept it now. Returns false if the
     * outbox has no message with this id.
     */
    markUnsent(id: unknown): boolean;
    /** Rejects every message, because nothing more will be sent. */
    rejectAll(error: LiveCodeError): void;
}
/** Splits a text into parts that each fit into one message, even after JSON's escaping. */
export declare function splitText(text: string): Generator<string>;
