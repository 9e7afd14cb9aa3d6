/**
 * One session, followed from its first message to its last over however many connections that takes.
 *
 * ```text
 *            ┌───────────── pause (grows; cut short when the page wakes) ◀──┐
 *            ▼                                                              │
 *   locate: POST /sessions, later GET ──▶ connect: the stream, ?after=N ──▶ lost
 *                                           │ live
 *                                           ▼
 *                                         exitstatus: ended
 * ```
 */

import { Backoff } from "./backoff.js";
import type { Environment, Socket } from "./environment.js";
import { LiveCodeError, type Message, type Program, type SessionDocument } from "./messages.js";
import { Outbox, pieces } from "./outbox.js";
import { type Located, Server } from "./server.js";

/** Where a session stands, as its page sees it. */
export type State = "connecting" | "live" | "reconnecting" | "ended";

/** What a page is told. */
export interface Hooks {
  /** Every message of the session once, in order; `exitstatus` is the last. */
  onMessage?: (message: Message) => void;
  onState?: (state: State) => void;
  /** Output from entry `from` to entry `to` was not kept. (It also comes as a message `gap`, in its place.) */
  onGap?: (from: number, to: number) => void;
  /** Something was refused, or the session cannot be followed any further; then its state is `ended`. */
  onError?: (error: LiveCodeError) => void;
}

/** What to follow: a new session of a program, or one that exists. */
export type Origin = { program: Program } | { url: string; after?: number };

/** Silence after which the server is asked whether it is there, in milliseconds; proxies close what is silent for 60 s. */
const SILENCE_MS = 20_000;
/** How long an answer to that may take, and a connection to be made. */
const ANSWER_MS = 10_000;
/** The same when the page has just woken: the connection may have died long ago. */
const WAKING_MS = 3_000;
/** How long what a full queue refused waits before it is sent again, in milliseconds. */
const FULL_MS = 200;
/** How often a server may say that it is busy before that is an error. */
const BUSY_MAX = 30;
/** The close code of a server that restarts. */
const RESTART = 1012;

export class Session {
  #state: State = "connecting";
  #document: SessionDocument | undefined;
  #after: number;
  #old = false;
  #socket: Socket | undefined;
  /** How many messages have come. */
  #heard = 0;
  #busy = 0;
  /** Calls off what is waited for: a pause, or the next look at a connection. */
  #callOff = () => {};
  /** Set while a pause is waited for: ends it. */
  #hurry: (() => void) | undefined;
  #removing = false;
  readonly #key: string;
  readonly #backoff: Backoff;
  readonly #outbox: Outbox;
  readonly #asleep: () => void;
  #settle!: { resolve: (exit: Message) => void; reject: (error: LiveCodeError) => void };

  /** The `exitstatus` message, once it has come; rejected where it never will. */
  readonly ended: Promise<Message>;

  constructor(
    private readonly server: Server,
    private readonly origin: Origin,
    private readonly hooks: Hooks,
    private readonly environment: Environment,
    /** Told of the session's document when it is first known. */
    private readonly onLocated: (document: SessionDocument) => void = () => {},
  ) {
    this.#after = "after" in origin ? (origin.after ?? 0) : 0;
    this.#key = environment.hex(16);
    this.#backoff = new Backoff(environment.random);
    this.#outbox = new Outbox(environment.hex(4));
    this.ended = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    // Who does not wait for it has `onError`.
    this.ended.catch(() => {});
    this.#asleep = environment.onWake(() => this.#wake());
    // Not before the caller has what this returns.
    Promise.resolve().then(() => this.#locate());
  }

  get state(): State {
    return this.#state;
  }

  /** The session's id, once the server has said it. */
  get id(): string | undefined {
    return this.#document?.id;
  }

  /** Number of the last entry that was seen. */
  get seq(): number {
    return this.#after;
  }

  /** How many messages wait for the server. */
  get waiting(): number {
    return this.#outbox.size;
  }

  /** Sends text to standard input, and ends it after that with `eof`. Settled when the program's supervisor has it. */
  async input(text: string, options: { eof?: boolean } = {}): Promise<void> {
    const all = [...pieces(text)];
    const sent = all.map((data, index) =>
      this.#deliver(
        { msgtype: "input", data, ...(options.eof && index === all.length - 1 ? { eof: true } : {}) },
        { lane: "input" },
      ),
    );
    await Promise.all(sent);
  }

  /** Sends an event to the program. With `coalesce` only the last of those that could not be sent yet is. */
  event(event: string, data: unknown = null, options: { coalesce?: boolean } = {}): Promise<void> {
    return this.#deliver({ msgtype: "event", event, data }, options.coalesce ? { mark: event } : {});
  }

  /** Sends a signal to the program. */
  signal(signal: "interrupt" | "terminate" | "kill"): Promise<void> {
    return this.#deliver({ msgtype: "signal", signal });
  }

  /** Ends the program, whatever it does. Its `exitstatus` follows. */
  stop(): void {
    if (this.#old) this.#socket?.close(1000);
    else this.signal("kill").catch(() => {});
  }

  /** Stops following. The program runs on, and can be attached to again. */
  close(): void {
    this.#end(new LiveCodeError("the page stopped following"), false);
  }

  /** Stops following, ends the program, and has the server forget the session. */
  remove(): void {
    if (this.#removing) return;
    this.#removing = true;
    if (this.#document) this.server.remove(this.#document.links.self).catch(() => {});
    this.close();
  }

  #deliver(message: object, options: { lane?: string; mark?: string } = {}): Promise<void> {
    if (this.#state === "ended") return Promise.reject(new LiveCodeError("the session has ended"));
    if (this.#old) {
      // v0.1 knows events alone, and no acknowledgement.
      if ((message as Message).msgtype !== "event") {
        return Promise.reject(new LiveCodeError("the server only knows v0.1: it takes events alone"));
      }
      this.#socket?.send(JSON.stringify(message));
      return Promise.resolve();
    }
    const settled = this.#outbox.add(message, options);
    this.#flush();
    return settled;
  }

  #flush(): void {
    if (this.#state === "live") for (const text of this.#outbox.next()) this.#socket?.send(text);
  }

  #become(state: State): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#tell(() => this.hooks.onState?.(state));
  }

  /** A page's mistake in a hook is the page's, and ends nothing here. */
  #tell(hook: () => void): void {
    try {
      hook();
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  async #locate(): Promise<void> {
    if (this.#state === "ended") return;
    const { origin, server } = this;
    let located: Located;
    if (this.#document) located = await server.find(this.#document.links.self);
    else if ("url" in origin) located = await server.find(origin.url);
    else {
      located = await server.create(origin.program, this.#key);
      if (located.is === "unreachable") located = await this.#isOld(origin.program);
    }
    if (this.#removing && located.is === "found") server.remove(located.document.links.self).catch(() => {});
    // It may have been closed meanwhile.
    if ((this.#state as State) === "ended") return;
    switch (located.is) {
      case "found": {
        const isFirst = !this.#document;
        this.#document = located.document;
        this.#busy = 0;
        if (isFirst) this.#tell(() => this.onLocated(located.document));
        return this.#connect(server.stream(located.document, this.#after));
      }
      case "old":
        this.#old = true;
        return this.#connect(server.oldSocket);
      case "refused":
        return this.#end(located.error);
      case "busy":
        if (++this.#busy > BUSY_MAX) return this.#end(located.error);
        return this.#pause(located.retryAfterMs);
      case "unreachable":
        return this.#pause();
    }
  }

  /**
   * A server that knows v0.1 alone may let no page of another origin as much as ask for `/sessions`: that looks as if
   * nobody were there. Where its websocket answers all the same, the request is made once more to be sure.
   */
  #isOld(program: Program): Promise<Located> {
    return new Promise((resolve) => {
      let socket: Socket;
      try {
        socket = this.environment.open(this.server.oldSocket);
      } catch {
        return resolve({ is: "unreachable" });
      }
      const callOff = this.environment.later(ANSWER_MS, () => socket.close());
      socket.onmessage = async () => {
        socket.onclose = socket.onmessage = null;
        callOff();
        const located = await this.server.create(program, this.#key);
        socket.close();
        resolve(located.is === "unreachable" ? { is: "old" } : located);
      };
      socket.onclose = () => {
        callOff();
        resolve({ is: "unreachable" });
      };
    });
  }

  #connect(url: string): void {
    const socket = (this.#socket = this.environment.open(url));
    let opened = false;
    socket.onopen = () => (opened = true);
    socket.onmessage = ({ data }) => {
      this.#heard++;
      let message: Message;
      try {
        message = JSON.parse(String(data)) as Message;
      } catch {
        return; // not of this protocol
      }
      this.#take(message);
    };
    socket.onclose = ({ code }) => this.#lost(code, opened);
    this.#expect(ANSWER_MS);
  }

  /** Something must be heard within so many milliseconds, or the connection is given up. */
  #expect(ms: number): void {
    const heard = this.#heard;
    this.#callOff();
    this.#callOff = this.environment.later(ms, () => (this.#heard === heard ? this.#drop() : this.#idle()));
  }

  /** Asks whether the server is there when it has been silent for long. */
  #idle(): void {
    const heard = this.#heard;
    this.#callOff();
    this.#callOff = this.environment.later(SILENCE_MS, () => (this.#heard === heard ? this.#ask(ANSWER_MS) : this.#idle()));
  }

  #ask(ms: number): void {
    this.#socket?.send('{"msgtype":"ping"}');
    this.#expect(ms);
  }

  /** Gives a connection up without waiting for its close, which may take for ever. */
  #drop(): void {
    const socket = this.#socket;
    if (!socket) return;
    this.#lost(0, true);
    socket.close();
  }

  #take(message: Message): void {
    switch (message.msgtype) {
      case "welcome":
        if (this.#old) {
          const { runtime, code, code_filename, files, command, env, timeout } = (this.origin as { program: Program }).program;
          this.#socket?.send(
            JSON.stringify({ msgtype: "exec", runtime, code, code_filename, files, command, env, timeout }),
          );
        }
        this.#become("live");
        this.#idle();
        return this.#flush();
      case "pong":
      case "goodbye":
        return;
      case "ack":
        this.#backoff.reset();
        this.#outbox.acknowledged(message.id);
        return this.#flush();
      case "error":
        return this.#refused(message);
      case "gap":
        this.#after = Math.max(this.#after, Number(message.to));
        this.#tell(() => this.hooks.onGap?.(Number(message.from), Number(message.to)));
        return this.#tell(() => this.hooks.onMessage?.(message));
    }
    // Entries are numbered from 1; who does not say the number has sent the next one.
    const seq = typeof message.seq === "number" ? message.seq : this.#after + 1;
    if (seq <= this.#after) return;
    this.#after = seq;
    this.#backoff.reset();
    if (message.msgtype !== "exitstatus") return this.#tell(() => this.hooks.onMessage?.(message));
    this.#finish(true);
    this.#state = "ended"; // already so for who is told of it
    this.#settle.resolve(message);
    this.#tell(() => this.hooks.onMessage?.(message));
    this.#tell(() => this.hooks.onState?.("ended"));
  }

  #refused(message: Message): void {
    const msg = message.msg as { id?: unknown; msgtype?: unknown } | null | undefined;
    const error = new LiveCodeError(String(message.error), undefined, undefined, msg);
    const id = msg?.id;
    if (error.message.includes("send it again later") && this.#outbox.postponed(id)) {
      this.environment.later(FULL_MS, () => this.#flush());
    } else if (this.#old && msg?.msgtype === "exec") {
      this.#end(error);
    } else {
      this.#outbox.refused(id, error);
      this.#tell(() => this.hooks.onError?.(error));
    }
  }

  #lost(code: number, opened: boolean): void {
    const socket = this.#socket;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    this.#socket = undefined;
    this.#outbox.lost();
    if (this.#old) return this.#end(new LiveCodeError("the connection was lost, and the server cannot take it up again"));
    this.#become("reconnecting");
    if (code === RESTART) this.#backoff.reset();
    // Where no connection came about, the session may be gone: a look at it says so.
    this.#pause(undefined, opened ? this.#document : undefined);
  }

  #pause(atLeastMs = 0, document?: SessionDocument): void {
    this.#callOff();
    const go = () => {
      this.#callOff();
      this.#hurry = undefined;
      if (document) this.#connect(this.server.stream(document, this.#after));
      else void this.#locate();
    };
    this.#hurry = atLeastMs ? undefined : go;
    this.#callOff = this.environment.later(atLeastMs + this.#backoff.next(), go);
  }

  #wake(): void {
    if (this.#hurry) this.#hurry();
    else if (this.#state === "live") this.#ask(WAKING_MS);
  }

  /** Nothing more will come, but what was answered before the end and is said after it. */
  #finish(isExit = false): void {
    this.#callOff();
    this.#hurry = undefined;
    this.#asleep();
    const socket = this.#socket;
    this.#socket = undefined;
    const close = () => {
      this.#outbox.close(new LiveCodeError("the session has ended"));
      if (!socket) return;
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close(1000);
    };
    if (!isExit || !socket || this.#outbox.size === 0) return close();
    socket.onclose = close;
    socket.onmessage = ({ data }) => {
      const { msgtype, id } = JSON.parse(String(data)) as Message;
      if (msgtype === "ack") this.#outbox.acknowledged(id);
      if (this.#outbox.size === 0) close();
    };
    this.environment.later(WAKING_MS, close);
  }

  #end(error: LiveCodeError, isNews = true): void {
    if (this.#state === "ended") return;
    this.#finish();
    this.#settle.reject(error);
    if (isNews) this.#tell(() => this.hooks.onError?.(error));
    this.#become("ended");
  }
}
