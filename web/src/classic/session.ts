/**
 * The class `LiveCodeSession` that pages of v0.1 know, implemented with v0.2's sessions. It gains
 * reconnection; otherwise a page gets exactly the messages of v0.1.
 */

import {
  forget,
  type LiveCodeError,
  type Message,
  pickUp,
  type Program,
  run,
  type Session,
  type State,
  textOf,
  type TokenSource,
} from "../client/index.js";
import { endWithPage } from "../dom/end-with-page.js";
import { tokenOfTag } from "../dom/token-of-tag.js";

/** v0.1's limit of the wall clock, in milliseconds. Pages rely on it to end their programs. */
const TIMEOUT_MS = 10_000;

export interface ClassicOptions {
  /** The server's address; the default is the origin of this script. */
  base_url?: string;
  runtime: string;
  code?: string;
  code_filename?: string;
  files?: { filename: string; contents: string }[] | null;
  command?: string[] | null;
  env?: Record<string, string> | null;
  /** Limit of the wall clock, in milliseconds. */
  timeout?: number;
  onMessage?: ((message: Message) => void) | null;
  /** Since v0.2: called with `connecting`, `live`, `reconnecting` or `ended`. */
  onState?: (state: State) => void;
  /**
   * Since v0.2: the user's token, or a function that fetches one. The default is what the script's
   * tag names in `data-token-url`.
   */
  token?: TokenSource;
  /**
   * Since v0.2: standard input stays open for `input()`, and the program has the server's default
   * limit of the wall clock.
   */
  interactive?: boolean;
  /**
   * Since v0.2: the name under which `LiveCodeSession.resume` finds the session after a reload.
   */
  resume?: string;
}

/** The server that served this script. It is the default for `base_url`. */
export const scriptOrigin = (() => {
  if (typeof document === "undefined") return undefined;
  const script = document.currentScript as HTMLScriptElement | null;
  return script?.src ? script.src.replace(/\/static\/[^/]*$/, "") : undefined;
})();

function serverOf(options: Pick<ClassicOptions, "base_url">): string {
  const base = options.base_url ?? scriptOrigin;
  if (!base) throw new TypeError("LiveCodeSession needs base_url, the server's address");
  return String(base);
}

/** The types of messages that v0.1 does not have. */
const NEW_TYPES = ["gap", "waiting", "queued", "case", "cases", "testresult", "echo", "diagnostic", "resize"];

/** A message in the form of v0.1, or `undefined` if v0.1 has no such message. */
export function asV01(message: Message): Message | undefined {
  const { msgtype } = message;
  if (NEW_TYPES.includes(msgtype)) return undefined;
  if (msgtype === "write") return { msgtype, file: message.file, data: textOf(message) };
  if (msgtype === "exitstatus") return { msgtype, exitstatus: message.exitstatus };
  const { seq: _, ...rest } = message;
  return rest as Message;
}

/** The `exec` message of v0.1 for these options. */
function asExec(options: ClassicOptions) {
  const { runtime, code, code_filename, files, command, env, timeout } = options;
  return { msgtype: "exec", runtime, code, code_filename, files, command, env, timeout };
}

/** The program for `POST /sessions` that behaves as `exec` of v0.1 did with these options. */
export function asProgram(options: ClassicOptions): Program {
  const { msgtype: _, ...exec } = asExec(options);
  // v0.1 ignored unknown fields of files, so they are left out here.
  const files = exec.files?.map(({ filename, contents }) => ({ filename, contents }));
  const hasInput =
    files?.some((file) => file.filename === "stdin") || exec.env?.FALCON_STDIN !== undefined;
  const classicDefaults = {
    timeout: options.timeout ?? TIMEOUT_MS,
    ...(hasInput ? {} : { stdin: "" }),
  };
  return {
    ...exec,
    ...(files ? { files } : {}),
    ...(options.interactive ? {} : classicDefaults),
  } as Program;
}

export class LiveCodeSession {
  readonly options: ClassicOptions;
  onMessage: ((message: Message) => void) | null;
  #session: Session | null;
  #hasWelcomed = false;

  /**
   * Runs a program. With `isResuming` it follows the session that the tab remembers instead: see
   * {@link LiveCodeSession.resume}.
   */
  constructor(options: ClassicOptions, isResuming = false) {
    this.options = options;
    this.onMessage = options.onMessage ?? null;
    const server = serverOf(options);
    const token = options.token ?? tokenOfTag(server);
    const serverOptions = {
      server,
      ...(token ? { token } : {}),
      ...(options.resume ? { key: options.resume } : {}),
    };
    const hooks = {
      onMessage: (message: Message) => this.#handleMessage(message),
      onState: (state: State) => this.#handleState(state),
      onError: (error: LiveCodeError) => this.#handleError(error),
    };
    this.#session = isResuming
      ? pickUp({ ...serverOptions, key: options.resume ?? "" }, hooks)
      : run({ ...asProgram(options), ...serverOptions }, hooks);
    if (this.#session && !options.resume) endWithPage(this.#session);
  }

  /**
   * Follows the session that this tab had under the name `resume` before a reload. Returns null if
   * there is none.
   */
  static resume(options: ClassicOptions & { resume: string }): LiveCodeSession | null {
    const session = new LiveCodeSession(options, true);
    return session.#session && session;
  }

  get base_url(): URL {
    return new URL(serverOf(this.options), document.baseURI);
  }

  get runtime(): string {
    return this.options.runtime;
  }

  get code(): string | undefined {
    return this.options.code;
  }

  get state(): State {
    return this.#session?.state ?? "ended";
  }

  /** The session's id on the server, once it is known. */
  get id(): string | undefined {
    return this.#session?.id;
  }

  /** Sends a message as on v0.1's websocket. */
  send(message: Message): void {
    const { msgtype } = message;
    const session = this.#session;
    if (!session || msgtype === "ping") return;
    if (msgtype === "quit") return this.close();
    const sent =
      msgtype === "event"
        ? session.event(String(message.event), message.data)
        : msgtype === "input"
          ? session.input(String(message.data ?? ""), { eof: message.eof === true })
          : session.signal(message.signal as "kill");
    // A refusal by the server is reported as an `error` message. If the client itself rejects the
    // message, e.g. because the session has ended, the page gets nothing.
    sent.catch(() => {});
  }

  /** Sends an event to the program. */
  event(name: string, data?: unknown): void {
    this.send({ msgtype: "event", event: name, data });
  }

  /** Sends text to the program's standard input, if the session is `interactive`. */
  input(text: string, options: { eof?: boolean } = {}): void {
    this.send({ msgtype: "input", data: text, ...options });
  }

  /** Ends the program. Its `exitstatus` follows. */
  stop(): void {
    this.#session?.stop();
  }

  /** Ends the program and delivers no more messages, like closing the websocket in v0.1. */
  close(): void {
    this.onMessage = null;
    if (this.options.resume) forget({ key: this.options.resume });
    this.#session?.remove();
  }

  #handleMessage(message: Message): void {
    const converted = asV01(message);
    if (converted) this.onMessage?.(converted);
  }

  #handleState(state: State): void {
    if (state === "live") this.#welcome();
    this.options.onState?.(state);
  }

  /** Delivers the first message of v0.1, once for all connections. */
  #welcome(): void {
    if (this.#hasWelcomed) return;
    this.#hasWelcomed = true;
    this.onMessage?.({ msgtype: "welcome", message: "welcome to livecode" });
  }

  /** Delivers an error as the `error` message that v0.1 would have sent. */
  #handleError(error: LiveCodeError): void {
    const refused = error.status === undefined ? error.msg : asExec(this.options);
    // v0.1 sent no message about a lost connection.
    if (refused === undefined) return;
    this.#welcome();
    const { id: _, ...msg } = refused as Record<string, unknown>;
    const text = error.field ? `${error.field}: ${error.message}` : error.message;
    this.onMessage?.({ msgtype: "error", error: text, msg });
  }
}
