/** The HTTP requests to one server, and the addresses of its resources. */

import { Credentials, TokenError, type TokenSource } from "./credentials.js";
import type { Environment, HttpRequest, HttpResponse } from "./environment.js";
import { LiveCodeError, type Program, type SessionDocument } from "./messages.js";

/**
 * The time a request may take before it is aborted, in milliseconds. It is long because a body may
 * have megabytes.
 */
const REQUEST_TIMEOUT_MS = 60_000;
/**
 * The longest `Retry-After` that a request waits for, in milliseconds. A quota by the day may be
 * used up for hours, and the user is to be told so.
 */
const MAX_RETRY_AFTER_MS = 5 * 60_000;

/** The result of a request that creates a session or requests its document. */
export type SessionResult =
  /** The session exists, because it was created now or earlier. */
  | { kind: "found"; document: SessionDocument }
  /** The server has no sessions: it only speaks v0.1. */
  | { kind: "v0.1" }
  /** There was no response. */
  | { kind: "unreachable" }
  /** A later request may succeed; the server may say when. */
  | { kind: "busy"; retryAfterMs: number | undefined; error: LiveCodeError }
  /** The same request fails again. */
  | { kind: "refused"; error: LiveCodeError };

/** The HTTP statuses after which the same request may succeed later. */
const RETRYABLE_STATUSES = [408, 409, 429, 502, 503, 504];
/** The HTTP statuses of a server that has no `POST /sessions`. */
const NO_SESSIONS_STATUSES = [404, 405, 501];

/** The code of the error that tells that nothing names the caller, e.g. if cookies are blocked. */
const TOKEN_REQUIRED = "token_required";

/** `value` if it is a string. */
const stringOf = (value: unknown) => (typeof value === "string" ? value : undefined);

/** The JSON in a response's body; empty if there is none, e.g. in the error page of a proxy. */
async function readBody(response: HttpResponse): Promise<Record<string, unknown>> {
  try {
    return ((await response.json()) ?? {}) as Record<string, unknown>;
  } catch {
    return {};
  }
}

/** The error that a response with the given status and body reports. */
function errorOf(status: number, body: Record<string, unknown>): LiveCodeError {
  const detail = String(body.detail ?? body.title ?? `the server responded with ${status}`);
  return new LiveCodeError(detail, status, stringOf(body.field), undefined, stringOf(body.code));
}

export class Server {
  /** The server's address, without a slash at the end. */
  readonly base: string;
  /** Undefined on the server's own pages, where a cookie names the caller. */
  #credentials: Credentials | undefined;
  /** Whether the token was given to the caller, and not generated here. */
  readonly #hasGivenToken: boolean;
  /** Whether the page has the server's origin. */
  readonly #isOwnPage: boolean;

  /**
   * `token` identifies the caller. Without it, the caller is a guest: a stored token for this
   * server is used, or on a page of the server's own origin the server's cookie.
   */
  constructor(
    address: string,
    private readonly environment: Environment,
    token?: TokenSource,
  ) {
    const url = new URL(address, environment.base);
    this.base = url.origin + url.pathname.replace(/\/+$/, "");
    this.#hasGivenToken = Boolean(token);
    const { base } = environment;
    this.#isOwnPage = base !== undefined && new URL(base).origin === url.origin;
    token ??= environment.lasting.getItem(this.#tokenKey) ?? undefined;
    if (token) this.#credentials = Credentials.of(token);
    else if (!this.#isOwnPage) this.#makeToken();
  }

  /** Where the token of a guest is stored: each server gets one of its own, and learns no other. */
  get #tokenKey(): string {
    return `livecode-token:${this.base}`;
  }

  #makeToken(): void {
    const token = this.environment.hex(16);
    this.environment.lasting.setItem(this.#tokenKey, token);
    this.#credentials = Credentials.of(token);
  }

  /**
   * On the server's own page: forgets a stored token when it has no sessions any more. Earlier
   * versions of the page have stored one; afterwards the cookie names the guest.
   */
  async forgetUnusedToken(): Promise<void> {
    if (!this.#isOwnPage || this.#hasGivenToken || !this.#credentials) return;
    const response = await this.get("/sessions?limit=1");
    if (!response.ok || ((await response.json()) as unknown[]).length > 0) return;
    this.environment.lasting.removeItem(this.#tokenKey);
    this.#credentials = undefined;
  }

  /** Creates a session. Requests with the same idempotency key create one session. */
  create(program: Program, idempotencyKey: string): Promise<SessionResult> {
    return this.#requestSession(`${this.base}/sessions`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "Idempotency-Key": idempotencyKey },
      body: JSON.stringify(program),
    });
  }

  /** Requests the document of the session at `url`. */
  find(url: string): Promise<SessionResult> {
    return this.#requestSession(url, { method: "GET", headers: {} });
  }

  /**
   * Requests the document of the session that a share opens. The share's secret stands for the
   * caller, who need not be known otherwise.
   */
  redeem(secret: string): Promise<SessionResult> {
    return this.#requestSession(
      `${this.base}/shares/redeem`,
      {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ secret }),
      },
      (url, init) => this.#send(url, init),
    );
  }

  /** Requests another resource of the server. `path` begins with a slash. */
  get(path: string): Promise<HttpResponse> {
    return this.#request(this.base + path, { method: "GET", headers: {} });
  }

  /** Sends a document to another resource of the server. `path` begins with a slash. */
  post(path: string, document: object): Promise<HttpResponse> {
    const headers = { "Content-Type": "application/json" };
    const body = JSON.stringify(document);
    return this.#request(this.base + path, { method: "POST", headers, body });
  }

  /**
   * Deletes the resource at `url`. By default that is a session, whose program ends. The request
   * outlives the page. Throws a {@link LiveCodeError} if the server does not delete the resource.
   * An error with the code `goneCode` says that it exists no more, which is as good.
   */
  async remove(url: string, goneCode = "no_such_session"): Promise<void> {
    const response = await this.#request(url, { method: "DELETE", headers: {}, keepalive: true });
    if (response.status === 204) return;
    const error = errorOf(response.status, await readBody(response));
    if (error.status !== 404 || error.code !== goneCode) throw error;
  }

  /** The address of a session. */
  sessionUrl(id: string): string {
    return `${this.base}/sessions/${encodeURIComponent(id)}`;
  }

  /**
   * The address of v0.1's websocket; with a ticket if the caller was given a token, and the server
   * makes tickets.
   */
  async v01SocketUrl(): Promise<string> {
    const url = `${this.base.replace(/^http/, "ws")}/livecode`;
    if (!this.#hasGivenToken) return url;
    try {
      const response = await this.#request(`${this.base}/tickets`, { method: "POST", headers: {} });
      const { ticket } = (await response.json()) as { ticket?: unknown };
      if (response.ok && typeof ticket === "string") {
        return `${url}?ticket=${encodeURIComponent(ticket)}`;
      }
    } catch {
      // The server may be one that knows neither tickets nor pages of other origins.
    }
    return url;
  }

  /** The address of a session's stream, from the entry that follows number `after`. */
  streamUrl(document: SessionDocument, after: number): string {
    const url = new URL(document.links.stream, this.base.replace(/^http/, "ws"));
    // A page that was loaded over TLS may open no other websocket. Behind a proxy the server may
    // not know about TLS.
    if (this.base.startsWith("https:")) url.protocol = "wss:";
    url.searchParams.set("after", String(after));
    url.searchParams.set("notices", "1");
    return url.href;
  }

  /**
   * Sends a request with the caller's token. If the server refuses the token, the request is
   * repeated once with a new one, if the caller gets one. If the token is known, the request is on
   * its way when this returns, because the page may end then.
   */
  async #request(url: string, init: HttpRequest): Promise<HttpResponse> {
    const credentials = this.#credentials;
    if (!credentials) return this.#send(url, init);
    const token = credentials.token ?? ((await credentials.renew()) as string);
    const response = await this.#send(url, init, token);
    if (response.status !== 401) return response;
    const renewed = await credentials.renew(token);
    return renewed === undefined ? response : this.#send(url, init, renewed);
  }

  #send(url: string, init: HttpRequest, token?: string): Promise<HttpResponse> {
    const authorization = token === undefined ? {} : { Authorization: `Bearer ${token}` };
    // Without TLS nothing else tells the server that a GET is of its own page. Pages of other
    // origins would have to ask before they send this header.
    const own = this.#isOwnPage ? { "X-Requested-With": "livecode" } : {};
    const headers = { ...init.headers, ...authorization, ...own };
    const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
    return this.environment.fetch(url, { ...init, headers, signal });
  }

  /** Sends a request whose response is a session's document. */
  async #requestSession(
    url: string,
    init: HttpRequest,
    send = (url: string, init: HttpRequest) => this.#request(url, init),
  ): Promise<SessionResult> {
    let response: HttpResponse;
    try {
      response = await send(url, init);
    } catch (error) {
      if (!(error instanceof TokenError)) return { kind: "unreachable" };
      if (!error.isTemporary) return { kind: "refused", error };
      return { kind: "busy", retryAfterMs: undefined, error };
    }
    const body = await readBody(response);
    const { status } = response;
    const links = body.links as SessionDocument["links"] | undefined;
    if (response.ok && typeof links?.stream === "string") {
      return { kind: "found", document: body as SessionDocument };
    }
    const isCreation = url === `${this.base}/sessions`;
    if (isCreation && NO_SESSIONS_STATUSES.includes(status)) return { kind: "v0.1" };
    const error = errorOf(status, body);
    if (error.code === TOKEN_REQUIRED && !this.#credentials) {
      this.#makeToken();
      return this.#requestSession(url, init);
    }
    if (RETRYABLE_STATUSES.includes(status)) {
      const afterMs = Number(response.headers.get("Retry-After") ?? NaN) * 1000;
      if (afterMs > MAX_RETRY_AFTER_MS) return { kind: "refused", error };
      return { kind: "busy", retryAfterMs: afterMs >= 0 ? afterMs : undefined, error };
    }
    return { kind: "refused", error };
  }
}
