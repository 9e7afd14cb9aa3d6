/** What is on its way to the program: kept until the server says that the program's supervisor has it. */
import { LiveCodeError } from "./messages.js";
export declare class Outbox {
    #private;
    private readonly name;
    /** `name` sets this page's ids apart from those of every other page on the same session. */
    constructor(name: string);
    get size(): number;
    /** Takes a message in; the promise is settled when the server has it, or refuses it. */
    add(message: object, options?: {
        lane?: string;
        mark?: string;
    }): Promise<void>;
    /** The texts to send now, in their order. */
    next(): string[];
    /** The connection is gone: whatever was on its way is sent again on the next one. The server delivers one id once. */
    lost(): void;
    /** The server has it. */
    acknowledged(id: unknown): void;
    /** The server will not have it. False where it is none of ours. */
    refused(id: unknown, error: LiveCodeError): boolean;
    /** The server cannot take it now. False where it is none of ours. */
    postponed(id: unknown): boolean;
    /** Nothing will be sent any more. */
    close(error: LiveCodeError): void;
}
/** Cuts a text into pieces that each fit into one message, however much JSON's escapes make of them. */
export declare function pieces(text: string): Generator<string>;
