/**
 * The class `LiveCodeEditor` that pages of v0.1 know. It connects elements of the page to a
 * session.
 */
import type { Message } from "../client/index.js";
import { type ClassicOptions, LiveCodeSession } from "./session.js";
/** The part of CodeMirror 5 that is used, if the page has loaded it. */
interface CodeMirror5 {
    getValue(): string;
    setValue(text: string): void;
    on(event: string, handler: () => void): void;
}
type EditorEvent = "beforeRun" | "clear" | "reset";
export interface EditorOptions extends Omit<ClassicOptions, "code" | "onMessage" | "resume"> {
    /**
     * Whether to use CodeMirror 5, if the page has loaded it. An object is merged into its options.
     */
    codemirror?: boolean | Record<string, unknown>;
    /** Called with the code, 3 s after the last change. */
    autosave?: (editor: LiveCodeEditor, code: string) => void;
    /** Handlers for the buttons. `clear` and `reset` replace the editor's own action. */
    events?: Partial<Record<EditorEvent, (editor: LiveCodeEditor) => void>>;
    /** Handlers for messages by `msgtype`. Each replaces the editor's own handling. */
    onMessage?: Record<string, (editor: LiveCodeEditor, message: Message) => void>;
    /** Since v0.2: the name under which the editor follows its session again after a reload. */
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
    /** Runs the code as it is now. A program that is still running is ended. */
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
    /** Draws a `draw` message with the browser's next frame. */
    drawOnCanvas(message: Message): void;
    getCode(): string;
    setCode(code: string): void;
    /**
     * Handles a message: with the page's handler for its `msgtype`, or else with the editor's own.
     */
    onMessage(message: Message): void;
}
export {};
