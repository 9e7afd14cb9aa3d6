/**
 * The queue of messages to the program. Each message is kept until the server acknowledges that
 * the program's supervisor has it.
 */
import { LiveCodeError } from "./messages.js";
/** How a message relates to the other messages of the queue. */
export interface DeliveryOptions {
    /**
     * Messages with the same ordering key are in flight one at a time. So none of them overtakes
     * another one that the server refused because a queue was full.
     */
    orderingKey?: string;
    /** The message replaces the last message of the queue if that is unsent and has the same key. */
    coalescingKey?: string;
}
export declare class Outbox {
    #private;
    private readonly clientId;
    /** `clientId` makes the ids of this page's messages unique among all pages of the session. */
    constructor(clientId: string);
    /** The number of messages that the server has not acknowledged. */
    get size(): number;
    /**
     * Appends a message. The promise resolves once the server acknowledges the message, and rejects
     * if the server refuses it or if it is too large or the queue is full.
     */
    add(message: object, options?: DeliveryOptions): Promise<void>;
    /** The messages to send now, as JSON and in order. They count as sent from now on. */
    takeSendable(): string[];
    /**
     * Marks every message as unsent after a lost connection, so that the next connection sends it
     * again. The server delivers an id once, however often it is sent.
     */
    markAllUnsent(): void;
    /** Removes a message that the server has acknowledged. */
    acknowledge(id: unknown): void;
    /** Removes a message that the server has refused. */
    reject(id: unknown, error: LiveCodeError): void;
    /**
     * Marks a message as unsent, because the server cannot accept it now. Returns false if the queue
     * has no message with this id.
     */
    markUnsent(id: unknown): boolean;
    /** Rejects every message, because nothing more will be sent. */
    rejectAll(error: LiveCodeError): void;
}
/** Splits a text into parts that each fit into one message, even after JSON's escaping. */
export declare function splitText(text: string): Generator<string>;
