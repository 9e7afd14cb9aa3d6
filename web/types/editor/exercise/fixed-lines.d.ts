/** Lines of the code that users cannot change. */
import { type Extension } from "@codemirror/state";
import type { FixedLines } from "./parts.js";
/** Fixes these lines, from 1, and no others. */
export declare const fixLines: import("@codemirror/state").StateEffectType<number[]>;
/** The extension for a file with such lines. */
export declare function fixed(lines: FixedLines | undefined): Extension;
