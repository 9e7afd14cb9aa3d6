/** Creates the elements for a program's tables. All content is text, and large tables are cut. */
import type { Message } from "../client/index.js";
/** The cost of a `table` message, in characters of the output that is kept. */
export declare function tableCost(message: Message): number;
/**
 * Creates the element for a `table` message. A table that is wider than the output can be scrolled.
 * A caption tells if rows or columns are missing.
 */
export declare function createTable(message: Message): HTMLElement;
