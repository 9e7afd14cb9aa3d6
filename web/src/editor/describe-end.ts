/** Describes in words how a program ended. */

import type { Message } from "../client/index.js";

const REASONS: Record<string, string> = {
  cpu: "stopped: it used up its processor time",
  memory: "stopped: it used up its memory",
  output: "stopped: it printed too much",
  cancelled: "stopped",
  lost: "lost: the server's machine or the supervisor of the program failed",
};

/** The signal that Stop sends: SIGKILL. */
const STOP_SIGNAL = 9;

/**
 * Describes an `exitstatus` message in the same words wherever it is shown, now and later.
 * `seconds` is the program's running time, if the page knows it.
 */
export function describeEnd({ exitstatus, reason }: Message, seconds?: number): string {
  if (reason === "timeout") {
    if (seconds === undefined) return "stopped: its time was up";
    return `stopped after ${Math.max(1, Math.round(seconds))} s: its time was up`;
  }
  if (reason === "signalled") {
    const signal = Number(exitstatus) - 128;
    return signal === STOP_SIGNAL ? "stopped" : `ended by signal ${signal}`;
  }
  if (typeof reason === "string") return REASONS[reason] ?? `ended: ${reason}`;
  return exitstatus === 0 ? "finished" : `ended with exit status ${Number(exitstatus)}`;
}
