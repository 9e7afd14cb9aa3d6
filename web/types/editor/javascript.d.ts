/** JavaScript and TypeScript, with the names that are there in a browser as in Node.js. */
import type { Extension } from "@codemirror/state";
/** One of the two languages. */
export declare function script(typescript: boolean): Extension;
