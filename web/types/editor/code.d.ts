/** The place to write in: CodeMirror, with what a beginner needs and no more. */
export declare class Code {
    #private;
    /** `files` are texts by their names; the first is shown. */
    constructor(parent: Element, root: ShadowRoot, files: Map<string, string>, runtime: string, run: () => void, changed: () => void);
    /** Highlights a runtime's language. The text can be written before that is there. */
    speak(runtime: string): Promise<void>;
    /** Shows another file. */
    show(name: string): void;
    /** The texts by their names, as they stand. */
    texts(): Map<string, string>;
    /** Replaces a text; it can be undone. */
    set(name: string, text: string): void;
    destroy(): void;
}
