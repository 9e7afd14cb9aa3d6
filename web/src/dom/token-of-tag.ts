/** The tokens of a page whose script tag says where they come from. */

import type { TokenSource } from "../client/index.js";
import { tokenFromUrl } from "../client/token-url.js";

/**
 * The source of tokens that the page's tag of `/static/livecode.js` names in `data-token-url`. It
 * is used for the server of the script alone, so that no other server gets to know the token.
 */
export function tokenOfTag(server: string): TokenSource | undefined {
  const address = new URL(server, document.baseURI).href.replace(/\/+$/, "");
  const scripts = document.querySelectorAll<HTMLScriptElement>("script[data-token-url]");
  const serverOf = ({ src }: HTMLScriptElement) => src.replace(/\/static\/[^/]*$/, "");
  const tag = [...scripts].find((script) => serverOf(script) === address);
  const url = tag?.dataset.tokenUrl;
  return url ? tokenFromUrl(url) : undefined;
}
