/** Describes in words how a program ended. */
import type { Message } from "../client/index.js";
/**
 * Describes an `exitstatus` message. `seconds` is the program's running time, if the page knows
 * it; `isStopped` tells whether the user pressed Stop.
 */
export declare function describeEnd({ exitstatus, reason }: Message, seconds: number | undefined, isStopped: boolean): string;
