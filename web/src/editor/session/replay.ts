/**
 * What a session has shown is shown again: its drawings picture by picture, and its messages with
 * the pauses between them, as far as this page has seen those. The file is loaded for the first
 * replay.
 */

import type { Message } from "../../client/index.js";
import type { Recorded } from "./recording.js";

/** The time for which a picture is shown, in milliseconds: that of `frame()`. */
const PICTURE_MS = 1000 / 60;
/** The time for all drawings of a program that never calls `frame()`, and for one of them at most. */
const DRAWINGS_MS = 4000;
const MAX_DRAWING_MS = 100;

const isFrame = ({ msgtype, shape }: Message) => msgtype === "draw" && shape === "frame";
const isDrawing = (message: Message) =>
  message.msgtype === "shape" || (message.msgtype === "draw" && !isFrame(message));

export class Replay {
  /** The number of messages that were shown. */
  #count = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The time for which each drawing is shown, if there are no pictures, in milliseconds. */
  readonly #drawingMs: number;

  constructor(
    private readonly recorded: Recorded[],
    private readonly show: (message: Message) => void,
    /** Called once everything is shown. */
    private readonly onEnd: () => void,
  ) {
    const messages = recorded.map(({ message }) => message);
    const drawings = messages.some(isFrame) ? 0 : messages.filter(isDrawing).length;
    this.#drawingMs = drawings && Math.min(MAX_DRAWING_MS, DRAWINGS_MS / drawings);
  }

  start(): void {
    this.#showFrom(performance.now());
  }

  /** Shows what is left at once. */
  finish(): void {
    clearTimeout(this.#timer);
    this.#showFrom(-Infinity);
  }

  /** Shows nothing more. */
  cancel(): void {
    clearTimeout(this.#timer);
  }

  /** Shows the next message, which is due at a time of the page's clock, and all that are due then. */
  #showFrom(dueMs: number): void {
    let due = dueMs;
    for (;;) {
      const last = this.recorded[this.#count++];
      const next = this.recorded[this.#count];
      if (last) this.show(last.message);
      if (!last || !next) return this.onEnd();
      due += next.pauseMs || this.#durationOf(last.message);
      const delayMs = due - performance.now();
      if (delayMs <= 1) continue;
      this.#timer = setTimeout(() => this.#showFrom(due), delayMs);
      return;
    }
  }

  #durationOf(message: Message): number {
    if (isFrame(message)) return PICTURE_MS;
    return isDrawing(message) ? this.#drawingMs : 0;
  }
}
