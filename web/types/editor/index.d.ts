/** The editor `/static/livecode-editor.js`: defines `<live-code>`, and upgrades other elements. */
import { LiveCode } from "./element.js";
export { LiveCode } from "./element.js";
/** Replaces every element that a selector matches, e.g. `pre`, by an editor with its text. */
export declare function upgrade(selector: string, defaults: {
    runtime: string;
    server?: string;
}): LiveCode[];
