/** Tokens that the site of a page hands out under a URL. */
import type { TokenSource } from "./credentials.js";
/** The token in a response: the text itself, or a JSON text, or the field `token` of an object. */
export declare function parseToken(text: string): string;
/**
 * A function that fetches a token from `url`, a URL of the page's own site. The browser sends the
 * site's cookies, if the URL has the page's origin.
 */
export declare function tokenFromUrl(url: string): Exclude<TokenSource, string>;
