/**
 * The queue of messages to the program. Each message is kept until the server acknowledges that
 * the program's supervisor has it.
 */

import { LiveCodeError, MAX_MESSAGE_BYTES } from "./messages.js";

/** Messages that may wait for their acknowledgement at once. The others stay unsent meanwhile. */
const MAX_IN_FLIGHT = 32;
/**
 * Messages that the outbox holds. A further message is rejected, so that a page that sends without
 * end during a lost connection gets an error.
 */
const MAX_MESSAGES = 10_000;

/** How a message relates to the other messages of the outbox. */
export interface OutboxOptions {
  /**
   * Messages with the same ordering key are in flight one at a time. So none of them overtakes
   * another one that the server refused because a queue was full.
   */
  orderingKey?: string;
  /** The message replaces the last message of the outbox if that is unsent and has the same key. */
  coalescingKey?: string;
}

/** A message that the server has not acknowledged. */
interface OutboxMessage extends OutboxOptions {
  id: string;
  text: string;
  isSent: boolean;
  resolve: () => void;
  reject: (error: LiveCodeError) => void;
}

export class Outbox {
  /** In the order in which they were added. */
  #messages: OutboxMessage[] = [];
  #lastNumber = 0;

  /** `clientId` makes the ids of this page's messages unique among all pages of the session. */
  constructor(private readonly clientId: string) {}

  /** The number of messages that the server has not acknowledged, whether they were sent or not. */
  get size(): number {
    return this.#messages.length;
  }

  /**
   * Appends a message. The promise resolves once the server acknowledges the message. It also
   * resolves when a later message with the same coalescing key replaces the message, which is then
   * not sent any more. It rejects if the server refuses the message for another reason than a full
   * queue, if the message is too large or the outbox is full, or if the session ends first.
   */
  add(message: object, options: OutboxOptions = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      const id = `${this.clientId}-${++this.#lastNumber}`;
      const text = JSON.stringify({ ...message, id });
      if (new TextEncoder().encode(text).length > MAX_MESSAGE_BYTES) {
        return reject(new LiveCodeError(`a message has at most ${MAX_MESSAGE_BYTES} bytes`));
      }
      const last = this.#messages.at(-1);
      const { coalescingKey } = options;
      if (coalescingKey && last && !last.isSent && last.coalescingKey === coalescingKey) {
        this.#messages.pop();
        last.resolve();
      }
      if (this.#messages.length >= MAX_MESSAGES) {
        return reject(new LiveCodeError(`${MAX_MESSAGES} messages wait for the server already`));
      }
      this.#messages.push({ id, text, ...options, isSent: false, resolve, reject });
    });
  }

  /** The messages to send now, as JSON and in order. They count as sent from now on. */
  takeSendable(): string[] {
    const texts: string[] = [];
    const busyKeys = new Set<string>();
    for (const message of this.#messages.slice(0, MAX_IN_FLIGHT)) {
      const { orderingKey } = message;
      if (orderingKey && busyKeys.has(orderingKey)) continue;
      if (orderingKey) busyKeys.add(orderingKey);
      if (message.isSent) continue;
      message.isSent = true;
      texts.push(message.text);
    }
    return texts;
  }

  /**
   * Marks every message as unsent after a lost connection, so that the next connection sends it
   * again. The supervisor passes on only the first message with an id (it remembers the last 4,096
   * ids), so a message that had arrived does not reach the program twice.
   */
  markAllUnsent(): void {
    for (const message of this.#messages) message.isSent = false;
  }

  /** Removes a message that the server has acknowledged. */
  acknowledge(id: unknown): void {
    this.#remove(id)?.resolve();
  }

  /** Removes a message that the server has refused. */
  reject(id: unknown, error: LiveCodeError): void {
    this.#remove(id)?.reject(error);
  }

  /**
   * Marks a message as unsent, because the server cannot accept it now. Returns false if the
   * outbox has no message with this id.
   */
  markUnsent(id: unknown): boolean {
    const message = this.#messages.find((message) => message.id === id);
    if (message) message.isSent = false;
    return message !== undefined;
  }

  /** Rejects every message, because nothing more will be sent. */
  rejectAll(error: LiveCodeError): void {
    for (const message of this.#messages.splice(0)) message.reject(error);
  }

  #remove(id: unknown): OutboxMessage | undefined {
    const index = this.#messages.findIndex((message) => message.id === id);
    return index < 0 ? undefined : this.#messages.splice(index, 1)[0];
  }
}

/** Splits a text into parts that each fit into one message, even after JSON's escaping. */
export function* splitText(text: string): Generator<string> {
  // JSON writes a UTF-16 code unit in up to six bytes; 100 units are left for the other fields.
  const maxLength = Math.floor(MAX_MESSAGE_BYTES / 6) - 100;
  let from = 0;
  do {
    let to = Math.min(from + maxLength, text.length);
    // A surrogate pair is not split.
    if (to < text.length && /[\ud800-\udbff]/.test(text[to - 1] as string)) to--;
    yield text.slice(from, to);
    from = to;
  } while (from < text.length);
}
