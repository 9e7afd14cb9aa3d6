/** One server's HTTP side: who we are to it, and where its sessions are. */

import type { Answer, Environment } from "./environment.js";
import { LiveCodeError, type Program, type SessionDocument } from "./messages.js";

/** How long a request may take before it is given up and sent again, in milliseconds. A body may be megabytes. */
const PATIENCE_MS = 60_000;

/** What came of a request for a session. */
export type Located =
  | { is: "found"; document: SessionDocument }
  /** The server does not know sessions: it speaks v0.1 alone. */
  | { is: "old" }
  /** Nobody answered. */
  | { is: "unreachable" }
  /** Not now; in so many milliseconds, where the server says. */
  | { is: "busy"; retryAfterMs: number | undefined; error: LiveCodeError }
  /** Never. */
  | { is: "refused"; error: LiveCodeError };

const BUSY = [408, 409, 429, 502, 503, 504];

export class Server {
  /** Its address, without a slash at the end. */
  readonly base: string;
  #token: string;

  constructor(
    address: string,
    private readonly environment: Environment,
    token?: string,
  ) {
    const url = new URL(address, environment.base);
    this.base = url.origin + url.pathname.replace(/\/+$/, "");
    if (!token) {
      // One a server: none learns by which name another one knows us.
      const key = `livecode-token:${this.base}`;
      token = environment.lasting.getItem(key) ?? environment.hex(16);
      environment.lasting.setItem(key, token);
    }
    this.#token = token;
  }

  /** Has the session made. The same key twice makes one session. */
  create(program: Program, key: string): Promise<Located> {
    return this.#locate(`${this.base}/sessions`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "Idempotency-Key": key },
      body: JSON.stringify(program),
    });
  }

  /** Looks a session up. */
  find(url: string): Promise<Located> {
    return this.#locate(url, { method: "GET", headers: {} });
  }

  /** What its sessions are that we made; null where it does not say. */
  async list(): Promise<SessionDocument[] | null> {
    try {
      const answer = await this.#ask(`${this.base}/sessions`, { method: "GET", headers: {} });
      return answer.ok ? ((await answer.json()) as SessionDocument[]) : null;
    } catch {
      return null;
    }
  }

  /** Ends and forgets a session. Also while the page goes away. */
  async remove(url: string): Promise<void> {
    await this.#ask(url, { method: "DELETE", headers: {}, keepalive: true });
  }

  /** The address of a session by its id. */
  session(id: string): string {
    return `${this.base}/sessions/${encodeURIComponent(id)}`;
  }

  /** The address of v0.1's websocket. */
  get oldSocket(): string {
    return `${this.base.replace(/^http/, "ws")}/livecode`;
  }

  /** The address of a session's stream, for what follows entry `after`. */
  stream(document: SessionDocument, after: number): string {
    const url = new URL(document.links.stream, this.base.replace(/^http/, "ws"));
    // A page that came by TLS may open nothing else; a proxy may not have told the server of it.
    if (this.base.startsWith("https:")) url.protocol = "wss:";
    url.searchParams.set("after", String(after));
    return url.href;
  }

  #ask(url: string, init: { method: string; headers: Record<string, string>; body?: string; keepalive?: boolean }): Promise<Answer> {
    const headers = { ...init.headers, Authorization: `Bearer ${this.#token}` };
    return this.environment.fetch(url, { ...init, headers, signal: AbortSignal.timeout(PATIENCE_MS) });
  }

  async #locate(url: string, init: { method: string; headers: Record<string, string>; body?: string }): Promise<Located> {
    let answer: Answer;
    let said: Record<string, unknown> = {};
    try {
      answer = await this.#ask(url, init);
    } catch {
      return { is: "unreachable" };
    }
    try {
      said = (await answer.json()) as Record<string, unknown>;
    } catch {
      // No JSON: some other server's page of an error.
    }
    const { status } = answer;
    if (answer.ok && typeof (said.links as SessionDocument["links"] | undefined)?.stream === "string") {
      return { is: "found", document: said as SessionDocument };
    }
    if (init.body && [404, 405, 501].includes(status)) return { is: "old" };
    const words = String(said.detail ?? said.title ?? `the server answers ${status}`);
    const error = new LiveCodeError(words, status, typeof said.field === "string" ? said.field : undefined);
    if (BUSY.includes(status)) {
      const seconds = Number(answer.headers.get("Retry-After") ?? NaN);
      return { is: "busy", retryAfterMs: seconds >= 0 ? seconds * 1000 : undefined, error };
    }
    return { is: "refused", error };
  }
}
