/** Describes in words how a program ended. */
import type { Message } from "../client/index.js";
/**
 * Describes an `exitstatus` message in the same words wherever it is shown, now and later.
 * `seconds` is the program's running time, if the page knows it.
 */
export declare function describeEnd({ exitstatus, reason }: Message, seconds?: number): string;
/** Whether a user may wonder why a program has ended: neither by itself, nor because of Stop. */
export declare function needsDetail({ exitstatus, reason }: Message): boolean;
