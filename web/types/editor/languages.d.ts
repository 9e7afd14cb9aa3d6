/**
 * The languages of the runtimes. Each is a file of its own, which is loaded for the first program
 * in that language.
 */
import type { Extension } from "@codemirror/state";
/**
 * The CodeMirror extension for the language of a runtime, or for an `editor_mode`; empty for an
 * unknown language.
 */
export declare function languageOf(runtime: string): Promise<Extension>;
