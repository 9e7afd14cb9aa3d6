/** What is on its way to the program: kept until the server says that the program's supervisor has it. */

import { LiveCodeError, MAX_MESSAGE_BYTES } from "./messages.js";

/** How many messages wait for their acknowledgement at most; the rest is sent as they are acknowledged. */
const IN_FLIGHT_MAX = 32;
/** How many messages are kept at most: a page that sends without end while there is no connection must hear of it. */
const WAITING_MAX = 10_000;

interface Item {
  id: string;
  text: string;
  /** Messages of one lane are on their way one at a time, so that a full queue never has the second overtake the first. */
  lane?: string;
  /** A later message with the same mark takes the place of this one while it is unsent. */
  mark?: string;
  sent: boolean;
  resolve: () => void;
  reject: (error: LiveCodeError) => void;
}

export class Outbox {
  #items: Item[] = [];
  #count = 0;

  /** `name` sets this page's ids apart from those of every other page on the same session. */
  constructor(private readonly name: string) {}

  get size(): number {
    return this.#items.length;
  }

  /** Takes a message in; the promise is settled when the server has it, or refuses it. */
  add(message: object, options: { lane?: string; mark?: string } = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      const id = `${this.name}-${++this.#count}`;
      const text = JSON.stringify({ ...message, id });
      if (new TextEncoder().encode(text).length > MAX_MESSAGE_BYTES) {
        return reject(new LiveCodeError(`a message has at most ${MAX_MESSAGE_BYTES} bytes`));
      }
      const last = this.#items.at(-1);
      if (options.mark && last && !last.sent && last.mark === options.mark) {
        this.#items.pop();
        last.resolve();
      }
      if (this.#items.length >= WAITING_MAX) {
        return reject(new LiveCodeError(`${WAITING_MAX} messages wait for the server already`));
      }
      this.#items.push({ id, text, ...options, sent: false, resolve, reject });
    });
  }

  /** The texts to send now, in their order. */
  next(): string[] {
    const texts: string[] = [];
    const lanes = new Set<string>();
    let free = IN_FLIGHT_MAX;
    for (const item of this.#items) {
      if (free-- <= 0) break;
      if (item.lane && lanes.has(item.lane)) continue;
      if (item.lane) lanes.add(item.lane);
      if (item.sent) continue;
      item.sent = true;
      texts.push(item.text);
    }
    return texts;
  }

  /** The connection is gone: whatever was on its way is sent again on the next one. The server delivers one id once. */
  lost(): void {
    for (const item of this.#items) item.sent = false;
  }

  /** The server has it. */
  acknowledged(id: unknown): void {
    this.#take(id)?.resolve();
  }

  /** The server will not have it. False where it is none of ours. */
  refused(id: unknown, error: LiveCodeError): boolean {
    const item = this.#take(id);
    item?.reject(error);
    return item !== undefined;
  }

  /** The server cannot take it now. False where it is none of ours. */
  postponed(id: unknown): boolean {
    const item = this.#items.find((item) => item.id === id);
    if (item) item.sent = false;
    return item !== undefined;
  }

  /** Nothing will be sent any more. */
  close(error: LiveCodeError): void {
    for (const item of this.#items.splice(0)) item.reject(error);
  }

  #take(id: unknown): Item | undefined {
    const index = this.#items.findIndex((item) => item.id === id);
    return index < 0 ? undefined : this.#items.splice(index, 1)[0];
  }
}

/** Cuts a text into pieces that each fit into one message, however much JSON's escapes make of them. */
export function* pieces(text: string): Generator<string> {
  const most = Math.floor(MAX_MESSAGE_BYTES / 6) - 100;
  let from = 0;
  do {
    let to = Math.min(from + most, text.length);
    // Not between the halves of a pair.
    if (to < text.length && /[\ud800-\udbff]/.test(text[to - 1] as string)) to--;
    yield text.slice(from, to);
    from = to;
  } while (from < text.length);
}
