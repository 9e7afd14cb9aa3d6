/** How a program ended, in words. */

import type { Message } from "../client/index.js";

const REASONS: Record<string, string> = {
  cpu: "stopped: it used up its processor time",
  memory: "stopped: it used up its memory",
  output: "stopped: it printed too much",
  cancelled: "stopped",
  lost: "lost: what ran it has failed",
};

/** `seconds` is how long it ran, where the page saw that; `isStopped` whether the reader asked for the end. */
export function ending({ exitstatus, reason }: Message, seconds: number | undefined, isStopped: boolean): string {
  if (reason === "timeout") return seconds === undefined ? "stopped: its time was up" : `stopped after ${Math.max(1, Math.round(seconds))} s`;
  if (reason === "signalled") return isStopped ? "stopped" : `ended by signal ${Number(exitstatus) - 128}`;
  if (typeof reason === "string") return REASONS[reason] ?? `ended: ${reason}`;
  return exitstatus === 0 ? "finished" : `ended with exit status ${Number(exitstatus)}`;
}
