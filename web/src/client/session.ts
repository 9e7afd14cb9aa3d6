/**
 * One session, followed from its first message to its last, over as many connections as needed.
 *
 * ```text
 *   ┌────────── pause (backoff; skipped when the page wakes) ◀─────────┐
 *   ▼                                                                  │ connection lost
 * create or find the session ──▶ connect to the stream, ?after=N ──────┘
 *   POST /sessions, later GET      │ live
 *                                  ▼
 *                                `exitstatus`: ended
 * ```
 *
 * If the server is busy or unreachable, the request is repeated after such a pause, too. After the
 * loss of a connection that was established, the request is skipped, unless the server closed it
 * for a violation of its policy: the caller's token or the share may have ended then.
 */

import { Backoff } from "./backoff.js";
import type { Environment, Socket } from "./environment.js";
import {
  LiveCodeError,
  type Message,
  type Program,
  type Rights,
  type SessionDocument,
} from "./messages.js";
import { Outbox, type OutboxOptions, splitText } from "./outbox.js";
import { Server, type SessionResult } from "./server.js";

/** The state of a session, as a page sees it. */
export type State = "connecting" | "live" | "reconnecting" | "ended";

/** The callbacks of a page. */
export interface Hooks {
  /** Called with every message of the session, once and in order; `exitstatus` is the last. */
  onMessage?: (message: Message) => void;
  /** Called with the new state after each change. */
  onState?: (state: State) => void;
  /**
   * Called when the server is busy or a quota is used up for a while, and the request is going to
   * be repeated. `error` tells why.
   */
  onBusy?: (error: LiveCodeError) => void;
  /**
   * Called when the entries from number `from` to number `to` are missing in the journal. The gap
   * is also a message, in its place.
   */
  onGap?: (from: number, to: number) => void;
  /**
   * Called when the program waits for standard input, and when it does not wait any more, if the
   * server tells that. With `exitstatus`, and with a lost connection, a wait is over; the next
   * connection tells it again.
   */
  onWaiting?: (isWaiting: boolean) => void;
  /**
   * Called when the server refuses something before `exitstatus`, or when the session cannot be followed any further;
   * its state is `ended` after the latter. A message that the client itself rejects, e.g. because
   * too many messages wait, only rejects the promise that its call returned.
   */
  onError?: (error: LiveCodeError) => void;
}

/**
 * The session to follow: a new one that runs a program, an existing one, or the one that the secret
 * of a share opens.
 */
export type SessionSource =
  | { program: Program }
  | { url: string; after?: number }
  | { share: string; after?: number };

/**
 * The silence of the server after which the client sends a ping, in milliseconds. It is below 60
 * s, after which proxies close silent connections.
 */
const PING_AFTER_MS = 20_000;
/** The time that a new connection may take until its first message, and a ping until its reply. */
const REPLY_TIMEOUT_MS = 10_000;
/**
 * The time that a ping may take after the page woke, in milliseconds. It is short because the
 * connection may have been lost long ago.
 */
const WAKE_REPLY_TIMEOUT_MS = 3_000;
/** The time after `exitstatus` in which the client waits for acknowledgements, in milliseconds. */
const DRAIN_TIMEOUT_MS = 3_000;
/**
 * Messages that a full queue refused are sent again on the same connection after this time at the
 * latest, in milliseconds. An acknowledgement or a new message sends them again earlier.
 */
const QUEUE_FULL_RETRY_MS = 200;
/** The number of successive `busy` results after which the session ends with an error. */
const MAX_BUSY_RESULTS = 30;
/** The websocket close code "service restart". */
const SERVICE_RESTART = 1012;
/** The websocket close code "policy violation", e.g. when the caller's token was revoked. */
const POLICY_VIOLATION = 1008;

/**
 * Whether an `error` message says that a queue was full, so that the message may be sent again.
 */
function isQueueFull({ code, error }: Message): boolean {
  if (code !== undefined) return code === "queue_full";
  // Servers before v0.2's error codes can only be recognised by their text.
  return String(error).includes("send it again later");
}

export class Session {
  #state: State = "connecting";
  /** The session's document, once the server has sent it. */
  #document: SessionDocument | undefined;
  /** Number of the last entry that was received. */
  #lastSeq: number;
  #isV01Server = false;
  #socket: Socket | undefined;
  /** The number of websocket messages that were received on all connections. */
  #receivedCount = 0;
  /** The number of successive `busy` results. */
  #busyCount = 0;
  /**
   * Cancels the timer of the pause before a connection, or that of the check that a connection is
   * alive. At most one of the two timers runs.
   */
  #cancelConnectionTimer = () => {};
  /** Ends the current pause at once. Undefined if there is no pause, or if it must not be cut. */
  #skipPause: (() => void) | undefined;
  #isRemoved = false;
  /** The `Idempotency-Key` under which the session is created. */
  readonly #idempotencyKey: string;
  readonly #backoff: Backoff;
  readonly #outbox: Outbox;
  /** Removes the listener for the page's wake-ups. */
  readonly #stopListening: () => void;
  /** Settle {@link ended}. */
  #resolveEnded!: (exit: Message) => void;
  #rejectEnded!: (error: LiveCodeError) => void;

  /** The `exitstatus` message. Rejects if the session cannot be followed to its end. */
  readonly ended: Promise<Message>;

  constructor(
    private readonly server: Server,
    private readonly source: SessionSource,
    private readonly hooks: Hooks,
    private readonly environment: Environment,
    /** Called with the session's document when it is first known. */
    private readonly onFound: (document: SessionDocument) => void = () => {},
  ) {
    this.#lastSeq = "after" in source ? (source.after ?? 0) : 0;
    this.#idempotencyKey = environment.hex(16);
    this.#backoff = new Backoff(environment.random);
    this.#outbox = new Outbox(environment.hex(4));
    this.ended = new Promise((resolve, reject) => {
      this.#resolveEnded = resolve;
      this.#rejectEnded = reject;
    });
    // A page may use `onError` in place of this promise, so its rejection counts as handled.
    this.ended.catch(() => {});
    this.#stopListening = environment.onWake(() => this.#handleWake());
    // The first hook must not be called before the caller has the new object.
    Promise.resolve().then(() => this.#createOrFindAndConnect());
  }

  get state(): State {
    return this.#state;
  }

  /** The session's id, once the server has sent it. */
  get id(): string | undefined {
    return this.#document?.id;
  }

  /** The session's document, as the server answered it before the session was followed. */
  get document(): SessionDocument | undefined {
    return this.#document;
  }

  /**
   * The rights of the share by which the session is followed, once they are known; undefined if it
   * is followed by no share.
   */
  get rights(): Rights | undefined {
    return this.#document?.rights;
  }

  /** Number of the last entry that was received. */
  get seq(): number {
    return this.#lastSeq;
  }

  /**
   * The number of messages that the server has not acknowledged, whether they were sent or not.
   */
  get waiting(): number {
    return this.#outbox.size;
  }

  /**
   * Sends text to standard input; with `eof`, standard input ends after the text. The promise
   * resolves once the program's supervisor has the whole text.
   */
  async input(text: string, options: { eof?: boolean } = {}): Promise<void> {
    const parts = [...splitText(text)];
    const sent = parts.map((data, index) => {
      const isLast = index === parts.length - 1;
      const message = { msgtype: "input", data, ...(options.eof && isLast ? { eof: true } : {}) };
      return this.#send(message, { orderingKey: "input" });
    });
    await Promise.all(sent);
  }

  /**
   * Sends an event to the program. With `coalesce` the event replaces the last unsent message if
   * that is an event with the same name, also sent with `coalesce`. The promise resolves once the
   * program's supervisor has the event, or when another event replaces the event.
   */
  event(event: string, data: unknown = null, options: { coalesce?: boolean } = {}): Promise<void> {
    const message = { msgtype: "event", event, data };
    return this.#send(message, options.coalesce ? { coalescingKey: event } : {});
  }

  /** Sends a signal to the program. */
  signal(signal: "interrupt" | "terminate" | "kill"): Promise<void> {
    return this.#send({ msgtype: "signal", signal });
  }

  /** Kills the program. The session's `exitstatus` follows. */
  stop(): void {
    if (this.#isV01Server) this.#socket?.close(1000);
    else this.signal("kill").catch(() => {});
  }

  /** Stops following. The program keeps running, and its session can be attached to again. */
  close(): void {
    this.#endWithError(new LiveCodeError("the page stopped following"), false);
  }

  /**
   * Stops following, and deletes the session on the server, which ends its program. The session of
   * a share belongs to somebody else, and stays.
   */
  remove(): void {
    if ("share" in this.source) return this.close();
    if (this.#isRemoved) return;
    this.#isRemoved = true;
    if (this.#document) this.server.remove(this.#document.links.self).catch(() => {});
    this.close();
  }

  /**
   * Adds a message to the outbox, and sends the messages that may be sent now. A server of v0.1
   * gets the message without the outbox.
   */
  #send(message: Message, options: OutboxOptions = {}): Promise<void> {
    if (this.#state === "ended") return Promise.reject(new LiveCodeError("the session has ended"));
    if (this.#isV01Server) {
      // v0.1 accepts events only, and does not acknowledge them.
      if (message.msgtype !== "event") {
        const reason = "the server only knows v0.1: it accepts events only";
        return Promise.reject(new LiveCodeError(reason));
      }
      this.#socket?.send(JSON.stringify(message));
      return Promise.resolve();
    }
    const settled = this.#outbox.add(message, options);
    this.#flush();
    return settled;
  }

  /** Sends the messages of the outbox that may be sent now. */
  #flush(): void {
    if (this.#state !== "live") return;
    for (const text of this.#outbox.takeSendable()) this.#socket?.send(text);
  }

  #setState(state: State): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#callHook(() => this.hooks.onState?.(state));
  }

  /**
   * Calls a hook of the page. An exception from the hook is reported as an uncaught error of the
   * page, and does not disturb the session.
   */
  #callHook(hook: () => void): void {
    try {
      hook();
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  /**
   * Creates the session or requests its document, and connects to its stream. If the server is
   * busy or unreachable, this is repeated after a pause.
   */
  async #createOrFindAndConnect(): Promise<void> {
    if (this.#state === "ended") return;
    const { source, server } = this;
    let result: SessionResult;
    if ("share" in source) result = await server.redeem(source.share);
    else if (this.#document) result = await server.find(this.#document.links.self);
    else if ("url" in source) result = await server.find(source.url);
    else {
      result = await server.create(source.program, this.#idempotencyKey);
      if (result.kind === "unreachable") result = await this.#probeV01Server(source.program);
    }
    if (this.#isRemoved && result.kind === "found") {
      server.remove(result.document.links.self).catch(() => {});
    }
    // The page may have closed the session during the request.
    if ((this.#state as State) === "ended") return;
    switch (result.kind) {
      case "found": {
        const isFirst = !this.#document;
        this.#document = result.document;
        this.#busyCount = 0;
        if (isFirst) this.#callHook(() => this.onFound(result.document));
        return this.#connect(server.streamUrl(result.document, this.#lastSeq));
      }
      case "v0.1":
        this.#isV01Server = true;
        return this.#connectToV01Server();
      case "refused":
        return this.#endWithError(result.error);
      case "busy":
        if (++this.#busyCount > MAX_BUSY_RESULTS) return this.#endWithError(result.error);
        this.#callHook(() => this.hooks.onBusy?.(result.error));
        return this.#retryLater(result.retryAfterMs);
      case "unreachable":
        return this.#retryLater();
    }
  }

  /**
   * Finds out whether a server that seems unreachable only speaks v0.1. Such a server may not let
   * pages of other origins request `/sessions`, and the browser reports that like a lost
   * connection. If v0.1's websocket responds, the request is repeated once to be sure.
   */
  async #probeV01Server(program: Program): Promise<SessionResult> {
    const url = await this.server.v01SocketUrl();
    return new Promise((resolve) => {
      let socket: Socket;
      try {
        socket = this.environment.open(url);
      } catch {
        return resolve({ kind: "unreachable" });
      }
      const cancelTimeout = this.environment.later(REPLY_TIMEOUT_MS, () => socket.close());
      socket.onmessage = async () => {
        socket.onclose = socket.onmessage = null;
        cancelTimeout();
        const result = await this.server.create(program, this.#idempotencyKey);
        socket.close();
        resolve(result.kind === "unreachable" ? { kind: "v0.1" } : result);
      };
      socket.onclose = () => {
        cancelTimeout();
        resolve({ kind: "unreachable" });
      };
    });
  }

  async #connectToV01Server(): Promise<void> {
    const url = await this.server.v01SocketUrl();
    if (this.#state !== "ended") this.#connect(url);
  }

  #connect(url: string): void {
    const socket = (this.#socket = this.environment.open(url));
    let hasOpened = false;
    socket.onopen = () => (hasOpened = true);
    socket.onmessage = ({ data }) => {
      this.#receivedCount++;
      let message: Message;
      try {
        message = JSON.parse(String(data)) as Message;
      } catch {
        return; // The text is not JSON, so it is not a message of this protocol.
      }
      this.#handleMessage(message);
    };
    socket.onclose = ({ code }) => this.#handleClose(code, hasOpened);
    this.#expectMessage(REPLY_TIMEOUT_MS);
  }

  /** Abandons the connection if no message arrives within `ms` milliseconds. */
  #expectMessage(ms: number): void {
    this.#checkReceived(ms, () => this.#abandonConnection());
  }

  /** Sends a ping after a long silence of the server. */
  #watchForSilence(): void {
    this.#checkReceived(PING_AFTER_MS, () => this.#ping(REPLY_TIMEOUT_MS));
  }

  /**
   * Replaces the connection's timer by one of `ms` milliseconds. When it fires, calls `onSilence`
   * if no message has arrived meanwhile, and otherwise watches for the next silence.
   */
  #checkReceived(ms: number, onSilence: () => void): void {
    const countBefore = this.#receivedCount;
    this.#cancelConnectionTimer();
    this.#cancelConnectionTimer = this.environment.later(ms, () => {
      if (this.#receivedCount === countBefore) onSilence();
      else this.#watchForSilence();
    });
  }

  #ping(replyTimeoutMs: number): void {
    this.#socket?.send('{"msgtype":"ping"}');
    this.#expectMessage(replyTimeoutMs);
  }

  /**
   * Treats the connection as lost without waiting for its close handshake, which may never end.
   */
  #abandonConnection(): void {
    const socket = this.#socket;
    if (!socket) return;
    this.#handleClose(0, true);
    socket.close();
  }

  #handleMessage(message: Message): void {
    switch (message.msgtype) {
      case "welcome":
        if (this.#isV01Server) this.#sendExec((this.source as { program: Program }).program);
        this.#setState("live");
        this.#watchForSilence();
        return this.#flush();
      case "pong":
      case "goodbye":
      case "queued":
        return;
      case "waiting":
        return this.#callHook(() => this.hooks.onWaiting?.(!!message.file));
      case "ack":
        this.#backoff.reset();
        this.#outbox.acknowledge(message.id);
        return this.#flush();
      case "error":
        return this.#handleErrorMessage(message);
      case "gap":
        this.#lastSeq = Math.max(this.#lastSeq, Number(message.to));
        this.#callHook(() => this.hooks.onGap?.(Number(message.from), Number(message.to)));
        return this.#callHook(() => this.hooks.onMessage?.(message));
    }
    // Entries are numbered from 1. A message without a number is the next entry.
    const seq = typeof message.seq === "number" ? message.seq : this.#lastSeq + 1;
    if (seq <= this.#lastSeq) return;
    this.#lastSeq = seq;
    this.#backoff.reset();
    if (message.msgtype !== "exitstatus") {
      return this.#callHook(() => this.hooks.onMessage?.(message));
    }
    this.#release(true);
    // The state changes before the hook gets `exitstatus`; `onState` is called after it.
    this.#state = "ended";
    this.#resolveEnded(message);
    this.#callHook(() => this.hooks.onMessage?.(message));
    this.#callHook(() => this.hooks.onState?.("ended"));
  }

  /** Sends v0.1's request to run a program. */
  #sendExec({ runtime, code, code_filename, files, command, env, timeout }: Program): void {
    const exec = { msgtype: "exec", runtime, code, code_filename, files, command, env, timeout };
    this.#socket?.send(JSON.stringify(exec));
  }

  /** Handles an `error`: the server did not accept the message `msg`. */
  #handleErrorMessage(message: Message): void {
    const msg = message.msg as { id?: unknown; msgtype?: unknown } | null | undefined;
    if (isQueueFull(message) && this.#outbox.markUnsent(msg?.id)) {
      this.environment.later(QUEUE_FULL_RETRY_MS, () => this.#flush());
      return;
    }
    const code = typeof message.code === "string" ? message.code : undefined;
    const error = new LiveCodeError(String(message.error), undefined, undefined, msg, code);
    if (this.#isV01Server && msg?.msgtype === "exec") return this.#endWithError(error);
    this.#outbox.reject(msg?.id, error);
    this.#callHook(() => this.hooks.onError?.(error));
  }

  /** Handles the end of a connection. `hasOpened` tells whether the websocket was established. */
  #handleClose(code: number, hasOpened: boolean): void {
    const socket = this.#socket;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    this.#socket = undefined;
    this.#outbox.markAllUnsent();
    if (this.#isV01Server) {
      const reason = "the connection was lost, and the server cannot resume a session";
      return this.#endWithError(new LiveCodeError(reason));
    }
    this.#setState("reconnecting");
    if (code === SERVICE_RESTART) this.#backoff.reset();
    // If the websocket was not established, the session may be gone or its link may have expired.
    // After a policy violation the token or the share may have ended. Asking tells, and has a new
    // link.
    const isLinkGood = hasOpened && code !== POLICY_VIOLATION;
    this.#retryLater(undefined, isLinkGood ? this.#document : undefined);
  }

  /**
   * Connects after a pause: to the stream of `document`, or else from the beginning, with a
   * request for the session. The pause is the backoff's, plus `minDelayMs`. A pause with a minimum
   * is not skipped when the page wakes.
   */
  #retryLater(minDelayMs = 0, document?: SessionDocument): void {
    this.#cancelConnectionTimer();
    const retry = () => {
      this.#cancelConnectionTimer();
      this.#skipPause = undefined;
      if (document) this.#connect(this.server.streamUrl(document, this.#lastSeq));
      else void this.#createOrFindAndConnect();
    };
    this.#skipPause = minDelayMs ? undefined : retry;
    const delayMs = minDelayMs + this.#backoff.nextDelayMs();
    this.#cancelConnectionTimer = this.environment.later(delayMs, retry);
  }

  /** The page or the network is back: retries at once, or checks the connection. */
  #handleWake(): void {
    if (this.#skipPause) this.#skipPause();
    else if (this.#state === "live") this.#ping(WAKE_REPLY_TIMEOUT_MS);
  }

  /**
   * Cancels the connection's timer, stops listening for wake-ups and closes the connection. After
   * an `exitstatus`, the connection first drains: it stays open for at most `DRAIN_TIMEOUT_MS` for
   * the acknowledgements that are still due. The timer of a message that a full queue refused may
   * still fire; it sends nothing, because the session is no longer live.
   */
  #release(isExit = false): void {
    this.#cancelConnectionTimer();
    this.#skipPause = undefined;
    this.#stopListening();
    const socket = this.#socket;
    this.#socket = undefined;
    const close = () => {
      this.#outbox.rejectAll(new LiveCodeError("the session has ended"));
      if (!socket) return;
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close(1000);
    };
    if (!isExit || !socket || this.#outbox.size === 0) return close();
    socket.onclose = close;
    socket.onmessage = ({ data }) => {
      const { msgtype, id } = JSON.parse(String(data)) as Message;
      if (msgtype === "ack") this.#outbox.acknowledge(id);
      if (this.#outbox.size === 0) close();
    };
    this.environment.later(DRAIN_TIMEOUT_MS, close);
  }

  /** Ends the session without an `exitstatus`. `isReported` tells whether `onError` is called. */
  #endWithError(error: LiveCodeError, isReported = true): void {
    if (this.#state === "ended") return;
    this.#release();
    this.#rejectEnded(error);
    if (isReported) this.#callHook(() => this.hooks.onError?.(error));
    this.#setState("ended");
  }
}
