/** Describes in words how a program ended. */
import type { Message } from "../client/index.js";
/**
 * Describes an `exitstatus` message in the same words wherever it is shown, now and later.
 * `seconds` is the program's running time, if the page knows it.
 */
export declare function describeEnd({ exitstatus, reason }: Message, seconds?: number): string;
