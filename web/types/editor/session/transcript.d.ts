/** What a program has written, for the page around its editor. */
import { type Message } from "../../client/index.js";
export declare class Transcript {
    #private;
    /** Adds a `write` message. Returns its text. */
    add(message: Message): {
        file: string;
        data: string;
    };
    clear(): void;
    /** The text that was written on `stdout` or `stderr`, or on both. */
    text(file?: "stdout" | "stderr"): string;
}
