/** Describes in words how a program ended. */

import type { Message } from "../client/index.js";

const REASONS: Record<string, string> = {
  cpu: "stopped: it used up its processor time",
  memory: "stopped: it used up its memory",
  output: "stopped: it printed too much",
  cancelled: "stopped",
  lost: "lost: the server's machine or the supervisor of the program failed",
};

/**
 * Describes an `exitstatus` message. `seconds` is the program's running time, if the page knows
 * it; `isStopped` tells whether the user pressed Stop.
 */
export function describeEnd(
  { exitstatus, reason }: Message,
  seconds: number | undefined,
  isStopped: boolean,
): string {
  if (reason === "timeout") {
    if (seconds === undefined) return "stopped: its time was up";
    return `stopped after ${Math.max(1, Math.round(seconds))} s`;
  }
  if (reason === "signalled") {
    return isStopped ? "stopped" : `ended by signal ${Number(exitstatus) - 128}`;
  }
  if (typeof reason === "string") return REASONS[reason] ?? `ended: ${reason}`;
  return exitstatus === 0 ? "finished" : `ended with exit status ${Number(exitstatus)}`;
}
