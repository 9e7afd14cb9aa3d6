/** Tokens that the site of a page hands out under a URL. */

import type { TokenSource } from "./credentials.js";
import { LiveCodeError } from "./messages.js";

/** The time that the site may take, in milliseconds. */
const REQUEST_TIMEOUT_MS = 30_000;

/** The function for each URL, so that all sessions of a page share a token. */
const functions = new Map<string, Exclude<TokenSource, string>>();

/** The token in a response: the text itself, or a JSON text, or the field `token` of an object. */
export function parseToken(text: string): string {
  if (!/^\s*["{]/.test(text)) return text;
  const value = JSON.parse(text) as string | { token?: unknown };
  return String(typeof value === "string" ? value : (value.token ?? ""));
}

/**
 * A function that fetches a token from `url`, a URL of the page's own site. The browser sends the
 * site's cookies, if the URL has the page's origin.
 */
export function tokenFromUrl(url: string): Exclude<TokenSource, string> {
  const fetchToken = async () => {
    const response = await fetch(url, {
      cache: "no-store",
      credentials: "same-origin",
      headers: { Accept: "application/json, text/plain" },
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    const { ok, status } = response;
    if (!ok) throw new LiveCodeError(`${url} answered ${status}`, status);
    return parseToken(await response.text());
  };
  const known = functions.get(url) ?? fetchToken;
  functions.set(url, known);
  return known;
}
