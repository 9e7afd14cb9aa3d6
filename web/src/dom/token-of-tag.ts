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
  const isOfServer = ({ src }: HTMLScriptElement) => src.replace(/\/static\/[^/]*$/, "") === address;
  const url = [...scripts].find(isOfServer)?.dataset.tokenUrl;
  return url ? tokenFromUrl(url) : undefined;
}
