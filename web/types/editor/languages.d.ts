/**
 * The languages of the runtimes. Each is a file of its own, which is loaded for the first program
 * in that language.
 */
import type { Extension } from "@codemirror/state";
/** The name of the language of a runtime, or of an `editor_mode`. */
export declare function languageNameOf(runtime: string): string;
/** The CodeMirror extension for the language of a runtime; empty for an unknown language. */
export declare function languageOf(runtime: string): Promise<Extension>;
