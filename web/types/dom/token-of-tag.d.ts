/** The tokens of a page whose script tag says where they come from. */
import type { TokenSource } from "../client/index.js";
/**
 * The source of tokens that the page's tag of `/static/livecode.js` names in `data-token-url`. It
 * is used for the server of the script alone, so that no other server gets to know the token.
 */
export declare function tokenOfTag(server: string): TokenSource | undefined;
