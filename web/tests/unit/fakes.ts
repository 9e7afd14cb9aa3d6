/** Fakes of the network and the clock. A test decides what happens, and when. */

import type {
  Environment,
  HttpRequest,
  HttpResponse,
  Socket,
  Store,
} from "../../src/client/environment.js";
import type { Message } from "../../src/client/index.js";

/** A websocket whose server is the test. */
export class FakeSocket implements Socket {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  /** The messages that the client has sent. */
  sent: Message[] = [];
  isClosed = false;

  constructor(readonly url: string) {}

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(): void {
    this.isClosed = true;
  }

  /** Delivers messages from the server. */
  receive(...messages: object[]): void {
    for (const message of messages) this.onmessage?.({ data: JSON.stringify(message) });
  }

  /** Opens the websocket, and delivers the server's `welcome`. */
  welcome(): void {
    this.onopen?.();
    this.receive({ msgtype: "welcome" });
  }

  /** Closes the connection from the side of the server or the network. */
  disconnect(code = 1006): void {
    this.onclose?.({ code });
  }
}

class MemoryStore extends Map<string, string> implements Store {
  getItem = (key: string) => this.get(key) ?? null;
  setItem = (key: string, value: string) => void this.set(key, value);
  removeItem = (key: string) => void this.delete(key);
}

/** An HTTP request that the test answers. */
export interface FakeRequest extends HttpRequest {
  url: string;
  respond(status: number, body?: object, headers?: Record<string, string>): Promise<void>;
  fail(): Promise<void>;
}

export const DOCUMENT = {
  id: "0123",
  links: {
    self: "http://live.example/sessions/0123",
    stream: "ws://live.example/sessions/0123/stream",
  },
};

/** Waits until all callbacks that are due now have run. */
export const runPendingCallbacks = () => new Promise<void>((resolve) => setImmediate(resolve));

export class FakeEnvironment implements Environment {
  requests: FakeRequest[] = [];
  sockets: FakeSocket[] = [];
  lasting = new MemoryStore();
  tab = new MemoryStore();
  base: string | undefined = undefined;
  #nowMs = 0;
  #timers: { atMs: number; callback: () => void }[] = [];
  #wakeListeners = new Set<() => void>();
  #hexCount = 0;

  fetch(url: string, init: HttpRequest): Promise<HttpResponse> {
    return new Promise((resolve, reject) => {
      this.requests.push({
        ...init,
        url,
        respond(status, body = {}, headers = {}) {
          const get = (name: string) => headers[name] ?? null;
          resolve({ ok: status < 300, status, headers: { get }, json: async () => body });
          return runPendingCallbacks();
        },
        fail() {
          reject(new TypeError("Failed to fetch"));
          return runPendingCallbacks();
        },
      });
    });
  }

  open(url: string): Socket {
    const socket = new FakeSocket(url);
    this.sockets.push(socket);
    return socket;
  }

  later(ms: number, callback: () => void): () => void {
    const timer = { atMs: this.#nowMs + ms, callback };
    this.#timers.push(timer);
    return () => void (this.#timers = this.#timers.filter((other) => other !== timer));
  }

  random = () => 0;

  hex(bytes: number): string {
    return (++this.#hexCount).toString(16).padStart(bytes * 2, "0");
  }

  onWake(callback: () => void): () => void {
    this.#wakeListeners.add(callback);
    return () => this.#wakeListeners.delete(callback);
  }

  /** The number of sessions that listen for the page to wake. */
  get listenerCount(): number {
    return this.#wakeListeners.size;
  }

  wake(): void {
    for (const listener of this.#wakeListeners) listener();
  }

  /** Advances the clock, and calls the timers that become due. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      const due = this.#timers
        .filter(({ atMs }) => atMs <= untilMs)
        .sort((a, b) => a.atMs - b.atMs)[0];
      if (!due) break;
      this.#nowMs = due.atMs;
      this.#timers = this.#timers.filter((timer) => timer !== due);
      due.callback();
      await runPendingCallbacks();
    }
    this.#nowMs = untilMs;
    await runPendingCallbacks();
  }

  /** The last request. */
  get request(): FakeRequest {
    return this.requests.at(-1) as FakeRequest;
  }

  /** The last websocket. */
  get socket(): FakeSocket {
    return this.sockets.at(-1) as FakeSocket;
  }
}
