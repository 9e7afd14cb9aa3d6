/**
 * The class `LiveCodeEditor` that pages of v0.1 know. It connects elements of the page to a
 * session.
 */

import type { Message, State } from "../client/index.js";
import { clear, draw } from "../dom/draw.js";
import { Output } from "../dom/output.js";
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

const AUTOSAVE_DELAY_MS = 3000;

/** CodeMirror's mode for each language whose runtime has another name. */
const CODEMIRROR_MODES: Record<string, string> = {
  c: "text/x-csrc",
  cpp: "text/x-c++src",
  golang: "go",
  bash: "shell",
  mypy: "python",
  joy: "python",
};

export class LiveCodeEditor {
  readonly parent: Element;
  readonly options: EditorOptions;
  readonly runtime: string;
  readonly elementCode: HTMLTextAreaElement | null;
  readonly elementOutput: HTMLElement | null;
  readonly elementCanvas: HTMLCanvasElement | null;
  codemirror: CodeMirror5 | null = null;
  session: LiveCodeSession | null = null;
  #output: Output | undefined;
  /** The code that Reset restores. */
  #initialCode: string;
  #autosaveTimer: ReturnType<typeof setTimeout> | undefined;
  /** The `draw` messages that wait for the next frame. */
  #pendingDrawings: Message[] = [];

  constructor(element: Element, options: EditorOptions) {
    const find = <E extends Element>(selector: string) => element.querySelector<E>(selector);
    this.parent = element;
    this.options = options;
    this.runtime = options.runtime;
    this.elementCode = find(".code");
    this.elementOutput = find(".output");
    this.elementCanvas = find(".canvas");
    this.#output = this.elementOutput ? new Output(this.elementOutput) : undefined;
    this.#initialCode = this.elementCode?.value ?? "";

    const onClick = (selector: string, action: () => void) =>
      find(selector)?.addEventListener("click", action);
    onClick(".run", () => this.run());
    onClick(".stop", () => this.stop());
    onClick(".clear", () => this.#callHandler("clear") || this.clear());
    onClick(".reset", () => this.#callHandler("reset") || this.setCode(this.#initialCode));
    this.#setUpCodeElement();
    if (options.resume) {
      this.session = LiveCodeSession.resume({
        ...this.#sessionOptions(options.resume),
        resume: options.resume,
      });
    }
  }

  /** Runs the code as it is now. A program that is still running is ended. */
  run(): void {
    this.#callHandler("beforeRun");
    this.reset();
    this.session = new LiveCodeSession({
      ...this.#sessionOptions(this.options.resume),
      code: this.getCode(),
    });
  }

  /** Ends the program. */
  stop(): void {
    this.session?.stop();
  }

  /** Ends the program, and empties output and canvas. */
  reset(): void {
    this.session?.close();
    this.session = null;
    this.clear();
  }

  /** Empties output and canvas. */
  clear(): void {
    this.clearOutput();
    this.clearCanvas();
  }

  clearOutput(): void {
    this.#output?.clear();
  }

  clearCanvas(): void {
    this.#pendingDrawings = [];
    if (this.elementCanvas) clear(this.elementCanvas);
  }

  writeOutput(text: string, file = "stdout"): void {
    this.#output?.write(text, file);
  }

  /** Draws a `draw` message with the browser's next frame. */
  drawOnCanvas(message: Message): void {
    const canvas = this.elementCanvas;
    if (!canvas) return;
    // Drawings that would be erased before the next frame are dropped.
    if (message.shape === "clear" || message.shape === "size") this.#pendingDrawings = [];
    if (this.#pendingDrawings.push(message) > 1) return;
    const flush = () => this.#pendingDrawings.splice(0).forEach((drawing) => draw(canvas, drawing));
    requestAnimationFrame(flush);
    // The browser produces no frames for a page in the background.
    setTimeout(flush, 100);
  }

  getCode(): string {
    return this.codemirror?.getValue() ?? this.elementCode?.value ?? "";
  }

  setCode(code: string): void {
    if (this.codemirror) this.codemirror.setValue(code);
    else if (this.elementCode) this.elementCode.value = code;
  }

  /**
   * Handles a message: with the page's handler for its `msgtype`, or else with the editor's own.
   */
  onMessage(message: Message): void {
    const { msgtype } = message;
    const handlers = this.options.onMessage;
    if (handlers && Object.hasOwn(handlers, msgtype)) return handlers[msgtype]?.(this, message);
    if (msgtype === "write") this.writeOutput(String(message.data), String(message.file));
    else if (msgtype === "draw") this.drawOnCanvas(message);
    else if (msgtype === "image") this.#output?.image(message.mimetype, message.data);
    else if (msgtype === "error") this.writeOutput(`${String(message.error)}\n`, "stderr");
    else if (msgtype === "exitstatus") {
      // The output is complete before the page can see that the program has ended.
      this.#output?.flush();
      this.parent.setAttribute("data-exitstatus", String(message.exitstatus));
    }
  }

  /** Calls the page's handler for an event of the editor. Returns false if there is none. */
  #callHandler(name: EditorEvent): boolean {
    const handler = this.options.events?.[name];
    handler?.(this);
    return handler !== undefined;
  }

  /** The options for a session of this editor. */
  #sessionOptions(resume: string | undefined): ClassicOptions {
    const {
      codemirror: _1,
      autosave: _2,
      events: _3,
      onMessage: _4,
      onState,
      ...rest
    } = this.options;
    this.parent.removeAttribute("data-exitstatus");
    return {
      ...rest,
      ...(resume ? { resume } : {}),
      onMessage: (message) => this.onMessage(message),
      onState: (state: State) => {
        // The page's style can refer to the state, e.g. with `[data-state=reconnecting]`.
        this.parent.setAttribute("data-state", state);
        onState?.(state);
      },
    };
  }

  /** Connects the textarea, or the CodeMirror in its place, to the editor. */
  #setUpCodeElement(): void {
    const area = this.elementCode;
    if (!area) return;
    const handleChange = () => {
      clearTimeout(this.#autosaveTimer);
      const { autosave } = this.options;
      if (autosave)
        this.#autosaveTimer = setTimeout(() => autosave(this, this.getCode()), AUTOSAVE_DELAY_MS);
    };
    const run = () => this.run();
    const library = (
      globalThis as { CodeMirror?: { fromTextArea(area: Element, options: object): CodeMirror5 } }
    ).CodeMirror;
    if (!this.options.codemirror || !library?.fromTextArea) {
      area.addEventListener("input", handleChange);
      area.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
        event.preventDefault();
        run();
      });
      return;
    }
    const language = this.runtime.replace(/-canvas$/, "");
    const options = typeof this.options.codemirror === "object" ? this.options.codemirror : {};
    this.codemirror = library.fromTextArea(area, {
      lineNumbers: true,
      matchBrackets: true,
      indentUnit: 4,
      mode: CODEMIRROR_MODES[language] ?? language,
      ...options,
      extraKeys: {
        ...(options.extraKeys as object | undefined),
        "Ctrl-Enter": run,
        "Cmd-Enter": run,
      },
    });
    this.codemirror.on("change", handleChange);
  }
}
