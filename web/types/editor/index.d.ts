/** The editor `/static/livecode-editor.js`: defines `<live-code>`, and makes such of what a page has. */
import { LiveCode } from "./element.js";
export { LiveCode } from "./element.js";
/** Turns every element that a selector finds, e.g. `pre`, into an editor of its text. */
export declare function upgrade(selector: string, defaults: {
    runtime: string;
    server?: string;
}): LiveCode[];
