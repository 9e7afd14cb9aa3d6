/** The languages of the runtimes, each in a file of its own that is loaded when a program is written in it. */
import type { Extension } from "@codemirror/state";
/** What CodeMirror needs for a runtime's language; nothing where it has none for it. */
export declare function languageOf(runtime: string): Promise<Extension>;
