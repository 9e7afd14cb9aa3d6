/** `LiveCodeEditor`: wires the elements that a page brings to a session, as the pages of v0.1 know it. */
import type { Message } from "../client/index.js";
import { type ClassicOptions, LiveCodeSession } from "./session.js";
/** As much of CodeMirror 5, where the page has loaded it, as is used. */
interface CodeMirror5 {
    getValue(): string;
    setValue(text: string): void;
    on(event: string, handler: () => void): void;
}
type EditorEvent = "beforeRun" | "clear" | "reset";
export interface EditorOptions extends Omit<ClassicOptions, "code" | "onMessage" | "resume"> {
    /** Use the page's CodeMirror 5, if it has loaded one; an object adds to its options. */
    codemirror?: boolean | Record<string, unknown>;
    /** Called with the code 3 s after the last change. */
    autosave?: (editor: LiveCodeEditor, code: string) => void;
    events?: Partial<Record<EditorEvent, (editor: LiveCodeEditor) => void>>;
    /** Handlers for messages by their `msgtype`; each is instead of what this editor does with it. */
    onMessage?: Record<string, (editor: LiveCodeEditor, message: Message) => void>;
    /** New: under this name, the program that ran when the page was loaded anew is followed on. */
    resume?: string;
}
export declare class LiveCodeEditor {
    #private;
    readonly parent: Element;
    readonly options: EditorOptions;
    readonly runtime: string;
    readonly elementCode: HTMLTextAreaElement | null;
    readonly elementOutput: HTMLElement | null;
    readonly elementCanvas: HTMLCanvasElement | null;
    codemirror: CodeMirror5 | null;
    session: LiveCodeSession | null;
    constructor(element: Element, options: EditorOptions);
    /** Runs the code as it stands. What ran before is ended. */
    run(): void;
    /** Ends the program. */
    stop(): void;
    /** Ends the program, and empties output and canvas. */
    reset(): void;
    /** Empties output and canvas. */
    clear(): void;
    clearOutput(): void;
    clearCanvas(): void;
    writeOutput(text: string, file?: string): void;
    /** Draws a `draw` message with the next picture that the browser draws. */
    drawOnCanvas(message: Message): void;
    getCode(): string;
    setCode(code: string): void;
    /** What is done with a message that the page has no handler for. */
    onMessage(message: Message): void;
}
export {};
