/** How a program ended, in words. */
import type { Message } from "../client/index.js";
/** `seconds` is how long it ran, where the page saw that; `isStopped` whether the reader asked for the end. */
export declare function ending({ exitstatus, reason }: Message, seconds: number | undefined, isStopped: boolean): string;
