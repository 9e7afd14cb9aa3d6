/** A world in which a session lives without network or clock: the test says what happens, and when. */

import type { Answer, Asked, Environment, Socket, Store } from "../../src/client/environment.js";
import type { Message } from "../../src/client/index.js";

/** The other end of a connection. */
export class Wire implements Socket {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  sent: Message[] = [];
  isClosed = false;

  constructor(readonly url: string) {}

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(): void {
    this.isClosed = true;
  }

  /** The server opens, greets and sends these. */
  say(...messages: object[]): void {
    for (const message of messages) this.onmessage?.({ data: JSON.stringify(message) });
  }

  welcome(): void {
    this.onopen?.();
    this.say({ msgtype: "welcome" });
  }

  /** It is cut. */
  cut(code = 1006): void {
    this.onclose?.({ code });
  }
}

class Memory extends Map<string, string> implements Store {
  getItem = (key: string) => this.get(key) ?? null;
  setItem = (key: string, value: string) => void this.set(key, value);
  removeItem = (key: string) => void this.delete(key);
}

export interface Request extends Asked {
  url: string;
  answer(status: number, body?: object, headers?: Record<string, string>): Promise<void>;
  fail(): Promise<void>;
}

export const DOCUMENT = {
  id: "0123",
  links: { self: "http://live.example/sessions/0123", stream: "ws://live.example/sessions/0123/stream" },
};

/** Lets everything run that waits for nothing but its turn. */
export const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

export class World implements Environment {
  requests: Request[] = [];
  wires: Wire[] = [];
  lasting = new Memory();
  tab = new Memory();
  base = undefined;
  #now = 0;
  #timers: { at: number; callback: () => void }[] = [];
  #wakers = new Set<() => void>();
  #count = 0;

  fetch(url: string, asked: Asked): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.requests.push({
        ...asked,
        url,
        answer(status, body = {}, headers = {}) {
          const get = (name: string) => headers[name] ?? null;
          resolve({ ok: status < 300, status, headers: { get }, json: async () => body });
          return settle();
        },
        fail() {
          reject(new TypeError("Failed to fetch"));
          return settle();
        },
      });
    });
  }

  open(url: string): Socket {
    const wire = new Wire(url);
    this.wires.push(wire);
    return wire;
  }

  later(ms: number, callback: () => void): () => void {
    const timer = { at: this.#now + ms, callback };
    this.#timers.push(timer);
    return () => void (this.#timers = this.#timers.filter((other) => other !== timer));
  }

  random = () => 0;

  hex(bytes: number): string {
    return (++this.#count).toString(16).padStart(bytes * 2, "0");
  }

  onWake(callback: () => void): () => void {
    this.#wakers.add(callback);
    return () => this.#wakers.delete(callback);
  }

  /** How many sessions listen for the page to wake. */
  get listeners(): number {
    return this.#wakers.size;
  }

  wake(): void {
    for (const waker of this.#wakers) waker();
  }

  /** Lets time pass; what is due happens. */
  async pass(ms: number): Promise<void> {
    const until = this.#now + ms;
    for (;;) {
      const due = this.#timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.#now = due.at;
      this.#timers = this.#timers.filter((timer) => timer !== due);
      due.callback();
      await settle();
    }
    this.#now = until;
    await settle();
  }

  /** The request made last. */
  get request(): Request {
    return this.requests.at(-1) as Request;
  }

  /** The connection made last. */
  get wire(): Wire {
    return this.wires.at(-1) as Wire;
  }
}
