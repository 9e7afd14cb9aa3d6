/**
 * `LiveCodeSession`, as the pages of v0.1 know it, on sessions underneath: it gains reconnection, and otherwise a page sees
 * exactly v0.1's messages.
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
} from "../client/index.js";
import { endWithPage } from "../page/leave.js";

/** v0.1's wall clock, in milliseconds; the pages rely on a program's end. */
const TIMEOUT_MS = 10_000;

export interface ClassicOptions {
  /** The server's address; without it, where this script came from. */
  base_url?: string;
  runtime: string;
  code?: string;
  code_filename?: string;
  files?: { filename: string; contents: string }[] | null;
  command?: string[] | null;
  env?: Record<string, string> | null;
  /** Wall clock, in milliseconds. */
  timeout?: number;
  onMessage?: ((message: Message) => void) | null;
  /** New: `connecting`, `live`, `reconnecting`, `ended`. */
  onState?: (state: State) => void;
  /** New: standard input stays open for `input()`, and the program has the server's own time. */
  interactive?: boolean;
  /** New: under this name the session is picked up again after a reload, with `LiveCodeSession.resume`. */
  resume?: string;
}

/** Where this script came from: the server, unless the page says otherwise. */
export const scriptOrigin = (() => {
  const script = typeof document === "undefined" ? null : (document.currentScript as HTMLScriptElement | null);
  return script?.src ? script.src.replace(/\/static\/[^/]*$/, "") : undefined;
})();

function address(options: Pick<ClassicOptions, "base_url">): string {
  const base = options.base_url ?? scriptOrigin;
  if (!base) throw new TypeError("LiveCodeSession needs base_url, the server's address");
  return String(base);
}

/** The messages that v0.1 does not know. */
const NEW = ["gap", "waiting", "queued", "case", "cases", "testresult"];

/** A message as v0.1 would have sent it; `undefined` where it would not. */
export function asV01(message: Message): Message | undefined {
  const { msgtype } = message;
  if (NEW.includes(msgtype)) return undefined;
  if (msgtype === "write") return { msgtype, file: message.file, data: textOf(message) };
  if (msgtype === "exitstatus") return { msgtype, exitstatus: message.exitstatus };
  const { seq: _, ...rest } = message;
  return rest as Message;
}

/** v0.1's `exec` for these options. */
function exec({ runtime, code, code_filename, files, command, env, timeout }: ClassicOptions) {
  return { msgtype: "exec", runtime, code, code_filename, files, command, env, timeout };
}

/** The request for a session that does what v0.1 did with these options. */
export function asProgram(options: ClassicOptions): Program {
  const { msgtype: _, ...asked } = exec(options);
  // Fields that v0.1 passed over are left out here too.
  const files = asked.files?.map(({ filename, contents }) => ({ filename, contents }));
  const hasInput = files?.some((file) => file.filename === "stdin") || asked.env?.FALCON_STDIN !== undefined;
  return {
    ...asked,
    ...(files ? { files } : {}),
    ...(options.interactive ? {} : { timeout: options.timeout ?? TIMEOUT_MS, ...(hasInput ? {} : { stdin: "" }) }),
  } as Program;
}

export class LiveCodeSession {
  readonly options: ClassicOptions;
  onMessage: ((message: Message) => void) | null;
  #session: Session | null;
  #greeted = false;

  /** `resumes` takes up what the tab remembers instead of running anything: see {@link LiveCodeSession.resume}. */
  constructor(options: ClassicOptions, resumes = false) {
    this.options = options;
    this.onMessage = options.onMessage ?? null;
    const place = { server: address(options), ...(options.resume ? { key: options.resume } : {}) };
    const hooks = {
      onMessage: (message: Message) => this.#hear(message),
      onState: (state: State) => this.#changed(state),
      onError: (error: LiveCodeError) => this.#failed(error),
    };
    this.#session = resumes
      ? pickUp({ ...place, key: options.resume ?? "" }, hooks)
      : run({ ...asProgram(options), ...place }, hooks);
    if (this.#session && !options.resume) endWithPage(this.#session);
  }

  /** Takes up the session that this tab had under the name `resume` before it was loaded anew; null where there is none. */
  static resume(options: ClassicOptions & { resume: string }): LiveCodeSession | null {
    const session = new LiveCodeSession(options, true);
    return session.#session && session;
  }

  get base_url(): URL {
    return new URL(address(this.options), document.baseURI);
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
    sent.catch(() => {}); // what the server refuses comes as an `error`
  }

  /** Sends an event to the program. */
  event(name: string, data?: unknown): void {
    this.send({ msgtype: "event", event: name, data });
  }

  /** Sends text to the program's standard input, where the session is `interactive`. */
  input(text: string, options: { eof?: boolean } = {}): void {
    this.send({ msgtype: "input", data: text, ...options });
  }

  /** Ends the program; its `exitstatus` follows. */
  stop(): void {
    this.#session?.stop();
  }

  /** Hears nothing more, and ends the program, as closing v0.1's websocket did. */
  close(): void {
    this.onMessage = null;
    if (this.options.resume) forget({ key: this.options.resume });
    this.#session?.remove();
  }

  #hear(message: Message): void {
    const old = asV01(message);
    if (old) this.onMessage?.(old);
  }

  #changed(state: State): void {
    if (state === "live") this.#greet();
    this.options.onState?.(state);
  }

  /** v0.1's first message, once, however many connections there are. */
  #greet(): void {
    if (this.#greeted) return;
    this.#greeted = true;
    this.onMessage?.({ msgtype: "welcome", message: "welcome to livecode" });
  }

  #failed(error: LiveCodeError): void {
    const refused = error.status === undefined ? error.msg : exec(this.options);
    // v0.1 said nothing of a connection that was lost.
    if (refused === undefined) return;
    this.#greet();
    const { id: _, ...msg } = refused as Record<string, unknown>;
    const words = error.field ? `${error.field}: ${error.message}` : error.message;
    this.onMessage?.({ msgtype: "error", error: words, msg });
  }
}
