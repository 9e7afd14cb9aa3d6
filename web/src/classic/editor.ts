/** `LiveCodeEditor`: wires the elements that a page brings to a session, as the pages of v0.1 know it. */

import type { Message, State } from "../client/index.js";
import { clear, draw } from "../page/draw.js";
import { Output } from "../page/output.js";
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

const AUTOSAVE_MS = 3000;

/** CodeMirror's names of our runtimes' languages, where they differ. */
const MODES: Record<string, string> = {
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
  #initial: string;
  #autosave: ReturnType<typeof setTimeout> | undefined;
  #drawings: Message[] = [];

  constructor(element: Element, options: EditorOptions) {
    const find = <E extends Element>(selector: string) => element.querySelector<E>(selector);
    this.parent = element;
    this.options = options;
    this.runtime = options.runtime;
    this.elementCode = find(".code");
    this.elementOutput = find(".output");
    this.elementCanvas = find(".canvas");
    this.#output = this.elementOutput ? new Output(this.elementOutput) : undefined;
    this.#initial = this.elementCode?.value ?? "";

    const onClick = (selector: string, action: () => void) => find(selector)?.addEventListener("click", action);
    onClick(".run", () => this.run());
    onClick(".stop", () => this.stop());
    onClick(".clear", () => this.#event("clear") || this.clear());
    onClick(".reset", () => this.#event("reset") || this.setCode(this.#initial));
    this.#setUpCode();
    if (options.resume) {
      this.session = LiveCodeSession.resume({ ...this.#request(options.resume), resume: options.resume });
    }
  }

  /** Runs the code as it stands. What ran before is ended. */
  run(): void {
    this.#event("beforeRun");
    this.reset();
    this.session = new LiveCodeSession({ ...this.#request(this.options.resume), code: this.getCode() });
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
    this.#drawings = [];
    if (this.elementCanvas) clear(this.elementCanvas);
  }

  writeOutput(text: string, file = "stdout"): void {
    this.#output?.write(text, file);
  }

  /** Draws a `draw` message with the next picture that the browser draws. */
  drawOnCanvas(message: Message): void {
    const canvas = this.elementCanvas;
    if (!canvas) return;
    // What is wiped before anybody sees it is not drawn.
    if (message.shape === "clear" || message.shape === "size") this.#drawings = [];
    if (this.#drawings.push(message) > 1) return;
    const flush = () => this.#drawings.splice(0).forEach((drawing) => draw(canvas, drawing));
    requestAnimationFrame(flush);
    setTimeout(flush, 100);
  }

  getCode(): string {
    return this.codemirror?.getValue() ?? this.elementCode?.value ?? "";
  }

  setCode(code: string): void {
    if (this.codemirror) this.codemirror.setValue(code);
    else if (this.elementCode) this.elementCode.value = code;
  }

  /** What is done with a message that the page has no handler for. */
  onMessage(message: Message): void {
    const { msgtype } = message;
    const own = this.options.onMessage;
    if (own && Object.hasOwn(own, msgtype)) return own[msgtype]?.(this, message);
    if (msgtype === "write") this.writeOutput(String(message.data), String(message.file));
    else if (msgtype === "draw") this.drawOnCanvas(message);
    else if (msgtype === "image") this.#output?.image(message.mimetype, message.data);
    else if (msgtype === "error") this.writeOutput(`${String(message.error)}\n`, "stderr");
    else if (msgtype === "exitstatus") {
      // Who sees that it has ended sees all that it did.
      this.#output?.flush();
      this.parent.setAttribute("data-exitstatus", String(message.exitstatus));
    }
  }

  /** True where the page has a handler of its own. */
  #event(name: EditorEvent): boolean {
    const handler = this.options.events?.[name];
    handler?.(this);
    return handler !== undefined;
  }

  #request(resume: string | undefined): ClassicOptions {
    const { codemirror: _1, autosave: _2, events: _3, onMessage: _4, onState, ...rest } = this.options;
    this.parent.removeAttribute("data-exitstatus");
    return {
      ...rest,
      ...(resume ? { resume } : {}),
      onMessage: (message) => this.onMessage(message),
      onState: (state: State) => {
        // For the page's style, e.g. `[data-state=reconnecting]`.
        this.parent.setAttribute("data-state", state);
        onState?.(state);
      },
    };
  }

  #setUpCode(): void {
    const area = this.elementCode;
    if (!area) return;
    const changed = () => {
      clearTimeout(this.#autosave);
      const { autosave } = this.options;
      if (autosave) this.#autosave = setTimeout(() => autosave(this, this.getCode()), AUTOSAVE_MS);
    };
    const run = () => this.run();
    const library = (globalThis as { CodeMirror?: { fromTextArea(area: Element, options: object): CodeMirror5 } }).CodeMirror;
    if (!this.options.codemirror || !library?.fromTextArea) {
      area.addEventListener("input", changed);
      area.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
        event.preventDefault();
        run();
      });
      return;
    }
    const language = this.runtime.replace(/-canvas$/, "");
    const own = typeof this.options.codemirror === "object" ? this.options.codemirror : {};
    this.codemirror = library.fromTextArea(area, {
      lineNumbers: true,
      matchBrackets: true,
      indentUnit: 4,
      mode: MODES[language] ?? language,
      ...own,
      extraKeys: { ...(own.extraKeys as object | undefined), "Ctrl-Enter": run, "Cmd-Enter": run },
    });
    this.codemirror.on("change", changed);
  }
}
