/** A program's tables: as text throughout, and never more of one than a page bears. */
import type { Message } from "../client/index.js";
/** What a `table` message counts for among the characters that are kept. */
export declare function tableCost(message: Message): number;
/** A `table` message as a table; where it is not whole, that is said. */
export declare function table(message: Message): HTMLTableElement;
