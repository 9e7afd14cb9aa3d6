/** What a session has shown, and the pauses in it, so that it can be shown again. */

import type { Message } from "../../client/index.js";

/** A shorter time between two messages is no pause, in milliseconds. */
const MIN_PAUSE_MS = 25;
/** Longer pauses, e.g. until the user has typed something, are shortened, in milliseconds. */
const MAX_PAUSE_MS = 2000;
/** Shorter pauses, in all, are not worth a replay of text, in milliseconds. */
const MIN_TOTAL_MS = 1000;
/** What a recording may hold. Of a session with more there is no replay. */
const MAX_MESSAGES = 100_000;
const MAX_DATA_LENGTH = 8_000_000;

export interface Recorded {
  message: Message;
  /** The pause before the message, in milliseconds. */
  pauseMs: number;
}

const isDrawing = ({ msgtype, shape }: Message) =>
  msgtype === "shape" || (msgtype === "draw" && shape !== "frame");

/** The messages that a session has shown. */
export class Recording {
  #recorded: Recorded[] | undefined = [];
  #dataLength = 0;
  #pausesMs = 0;
  #hasDrawings = false;
  #lastMs: number | undefined;

  /** Adds a message, which has arrived just now. Only those of a live session come with its pauses. */
  add(message: Message, isLive: boolean): void {
    const now = performance.now();
    const passedMs = isLive ? now - (this.#lastMs ?? now) : 0;
    const pauseMs = passedMs < MIN_PAUSE_MS ? 0 : Math.min(passedMs, MAX_PAUSE_MS);
    this.#lastMs = now;
    this.#pausesMs += pauseMs;
    this.#hasDrawings ||= isDrawing(message);
    if (typeof message.data === "string") this.#dataLength += message.data.length;
    this.#recorded?.push({ message, pauseMs });
    const { length = 0 } = this.#recorded ?? [];
    if (length > MAX_MESSAGES || this.#dataLength > MAX_DATA_LENGTH) this.#recorded = undefined;
  }

  /** The messages, if they have shown more than what is seen in the end. */
  get messages(): Recorded[] | undefined {
    return this.#hasDrawings || this.#pausesMs >= MIN_TOTAL_MS ? this.#recorded : undefined;
  }
}
