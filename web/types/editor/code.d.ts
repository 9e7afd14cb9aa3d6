/** The source editor: CodeMirror, with the few extensions that a beginner needs. */
import { type GetPackages } from "./completion/completion.js";
import type { FixedLines } from "./exercise/parts.js";
export interface CodeEditorOptions {
    /** The element that contains the editor. */
    parent: Element;
    /** The shadow root of `parent`. */
    root: ShadowRoot;
    /** The texts by file name. The first file is shown. */
    files: Map<string, string>;
    /** The lines that users cannot change, by file name. */
    fixed: Map<string, FixedLines>;
    /** The language: the name of a runtime, or its `editor_mode`. */
    language: string;
    runtime: string;
    /** Gets the packages that the program can import. */
    getPackages: GetPackages;
    /** Called when the user presses the key to run the program. */
    onRun: () => void;
    /** Called after each change of a text. */
    onChange: () => void;
}
export declare class CodeEditor {
    #private;
    constructor(options: CodeEditorOptions);
    /** Shows other files in place of all files. What was done to those cannot be undone in these. */
    open(files: Map<string, string>, fixedLines?: Map<string, FixedLines>): void;
    /** Highlights a language of a runtime. The texts can be edited while the language loads. */
    setLanguage(language: string, runtime: string): Promise<void>;
    /** Shows another file. */
    show(name: string): void;
    /** The current texts by file name. */
    texts(): Map<string, string>;
    /**
     * Replaces the text of a file, if there is one of this name, and shows it. The user can undo
     * this. `lines` are those that users cannot change.
     */
    set(name: string, text: string, lines?: FixedLines): void;
    /** Sets how many lines run before those of the first file, whose numbers follow on them. */
    setLinesBefore(count: number): void;
    /**
     * Moves the cursor to a place in the shown file, and marks its line. Both numbers begin with 1.
     * A place behind the end of the file, or of its line, becomes that end.
     */
    goTo(line: number, column?: number): void;
    /**
     * Marks a line with an error or a warning, if the program has the line. A file of another name
     * is the first one, to which the page has given no name.
     */
    markError(file: string, line: number, message: string, isWarning: boolean): void;
    /** Removes the marks of errors from all files. */
    clearErrors(): void;
    focus(): void;
}
