/** Describes in words how a program ended. */

import type { Message } from "../client/index.js";
import { words } from "../words/words.js";

/** The keys of the words for the reasons that the server gives. */
const REASONS = {
  compile_failed: "notCompiled",
  cpu: "usedUpCpu",
  memory: "usedUpMemory",
  output: "printedTooMuch",
  cancelled: "stopped",
  lost: "lost",
} as const;

/** The signal that Stop sends: SIGKILL. */
const STOP_SIGNAL = 9;

/**
 * Describes an `exitstatus` message in the same words wherever it is shown, now and later.
 * `seconds` is the program's running time, if the page knows it.
 */
export function describeEnd({ exitstatus, reason }: Message, seconds?: number): string {
  if (reason === "timeout") {
    if (seconds === undefined) return words.timeWasUp;
    return words.stoppedAfter(Math.max(1, Math.round(seconds)));
  }
  if (reason === "signalled") {
    const signal = Number(exitstatus) - 128;
    return signal === STOP_SIGNAL ? words.stopped : words.endedBySignal(signal);
  }
  if (typeof reason === "string") {
    const key = Object.hasOwn(REASONS, reason) && REASONS[reason as keyof typeof REASONS];
    return key ? words[key] : words.endedOtherwise(reason);
  }
  return exitstatus === 0 ? words.finished : words.endedWithStatus(Number(exitstatus));
}

/** Whether a user may wonder why a program has ended: neither by itself, nor because of Stop. */
export function needsDetail({ exitstatus, reason }: Message): boolean {
  if (reason === undefined || reason === "cancelled") return false;
  return reason !== "signalled" || Number(exitstatus) - 128 !== STOP_SIGNAL;
}
