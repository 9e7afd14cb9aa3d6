/** The source editor: CodeMirror, with the few extensions that a beginner needs. */
import { type GetPackages } from "./completion/completion.js";
export interface CodeEditorOptions {
    /** The element that contains the editor. */
    parent: Element;
    /** The shadow root of `parent`. */
    root: ShadowRoot;
    /** The texts by file name. The first file is shown. */
    files: Map<string, string>;
    /** The language: the name of a runtime, or its `editor_mode`. */
    language: string;
    /** Gets the packages that the program can import. */
    getPackages: GetPackages;
    /** Called when the user presses the key to run the program. */
    onRun: () => void;
    /** Called after each change of a text. */
    onChange: () => void;
}
export declare class CodeEditor {
    #private;
    constructor({ parent, root, files, language, getPackages, onRun, onChange }: CodeEditorOptions);
    /** Shows other files in place of all files. What was done to those cannot be undone in these. */
    open(files: Map<string, string>): void;
    /** Highlights the language of a runtime. The texts can be edited while the language loads. */
    setLanguage(runtime: string): Promise<void>;
    /** Shows another file. */
    show(name: string): void;
    /** The current texts by file name. */
    texts(): Map<string, string>;
    /** Replaces the text of a file, if there is one of this name, and shows it. The user can undo this. */
    set(name: string, text: string): void;
    /**
     * Moves the cursor to a place in the shown file, and marks its line. Both numbers begin with 1.
     * A place behind the end of the file, or of its line, becomes that end.
     */
    goTo(line: number, column?: number): void;
    focus(): void;
    destroy(): void;
}
