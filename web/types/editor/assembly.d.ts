/** Assembly as nasm reads it, whose comments begin with `;`. */
import type { StreamParser } from "@codemirror/language";
export declare const assembly: StreamParser<{
    isStart: boolean;
}>;
