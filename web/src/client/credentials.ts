/** The token that identifies the caller, and how the caller gets a new one. */

import { LiveCodeError } from "./messages.js";

/**
 * A token, or a function that fetches one. The function is called before the first request, and
 * again when the server has refused a token: then with that token.
 */
export type TokenSource = string | ((refused?: string) => string | Promise<string>);

/** The code of the error that tells that no token could be fetched. */
const TOKEN_UNAVAILABLE = "token_unavailable";
/** The HTTP statuses of a token's URL after which the same request may succeed later. */
const TEMPORARY_STATUSES = [408, 429, 500, 502, 503, 504];

/** Why no token could be fetched. `isTemporary` tells whether a later try may succeed. */
export class TokenError extends LiveCodeError {
  readonly isTemporary: boolean;

  constructor(cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const status = cause instanceof LiveCodeError ? cause.status : undefined;
    super(`no token could be fetched: ${reason}`, status, undefined, undefined, TOKEN_UNAVAILABLE);
    // `fetch` throws a TypeError if there is no network.
    const isLost =
      cause instanceof TypeError || (cause as Error | undefined)?.name === "TimeoutError";
    this.isTemporary = status === undefined ? isLost : TEMPORARY_STATUSES.includes(status);
  }
}

/** The token in a text. Throws if a header cannot contain the text. */
function checkToken(text: unknown): string {
  const token = typeof text === "string" ? text.trim() : "";
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new Error("a token is a text of visible ASCII characters");
  }
  return token;
}

export class Credentials {
  /** One object for each function, so that all sessions of a page share its token. */
  static readonly #ofFunctions = new WeakMap<object, Credentials>();

  #token: string | undefined;
  /** The call of the function that is under way. */
  #pending: Promise<string> | undefined;

  private constructor(private readonly source: TokenSource) {
    if (typeof source === "string") this.#token = checkToken(source);
  }

  static of(source: TokenSource): Credentials {
    if (typeof source === "string") return new Credentials(source);
    const known = Credentials.#ofFunctions.get(source) ?? new Credentials(source);
    Credentials.#ofFunctions.set(source, known);
    return known;
  }

  /** The token, if it is known by now. */
  get token(): string | undefined {
    return this.#token;
  }

  /**
   * A token in place of `refused`, or undefined if the caller has no other one. All requests that
   * wait for a token share one call of the function. Throws a {@link TokenError}.
   */
  async renew(refused?: string): Promise<string | undefined> {
    const { source } = this;
    if (typeof source === "string") return undefined;
    // Another request may have fetched a new token meanwhile.
    if (this.#token !== refused) return this.#token;
    this.#pending ??= Promise.resolve(refused)
      .then(source)
      .then(checkToken)
      .then((token) => (this.#token = token))
      .catch((error: unknown) => {
        throw new TokenError(error);
      })
      .finally(() => (this.#pending = undefined));
    const token = await this.#pending;
    return token === refused ? undefined : token;
  }
}
