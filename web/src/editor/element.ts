/** The element `<live-code>`: an editor for a program, with its output, canvas and input. */

import {
  attach,
  type Hooks,
  type LiveCodeError,
  type Message,
  pickUp,
  type Rights,
  run,
  type Session,
  type SourceFile,
  type State,
  textOf,
  tokenFromUrl,
  type TokenSource,
} from "../client/index.js";
import { endWithPage } from "../dom/end-with-page.js";
import { Music } from "../dom/music.js";
import { Output } from "../dom/output.js";
import { tokenOfTag } from "../dom/token-of-tag.js";
import { OutputTerminal } from "../terminal/view.js";
import { Canvas } from "./canvas.js";
import { CodeEditor } from "./code.js";
import { createElement } from "./create-element.js";
import { describeEnd } from "./describe-end.js";
import { keepEvents } from "./keep-events.js";
import { drawingsOf } from "./shapes.js";
import { STYLE } from "./style.js";
import { createTable, tableCost } from "./table.js";

/** The name of the only file if the page gives it none. */
const UNNAMED_FILE = "code";
/**
 * The time after attaching to an existing session in which `play` messages are not played, in
 * milliseconds. These messages are from the session's past.
 */
const REPLAY_MS = 1000;
/** The distance from the end in which the output keeps scrolling to its end, in pixels. */
const SCROLL_TOLERANCE = 30;

/** The status of a session that could not be followed, and of one whose share has ended. */
const NOT_RUN = "could not be run";
const NOT_SHARED = "not shared any more";

/** The server that served this script. */
const SCRIPT_SERVER = import.meta.url.replace(/\/static\/[^/]*$/, "");

/** The editors whose notes sound, or are going to. */
const soundingEditors = new Set<LiveCode>();

/** The style sheet that all editors of the page share. */
let sharedStyleSheet: CSSStyleSheet | undefined;

/** Removes the empty first line and the common indentation, which come from the page's source. */
export function dedent(text: string): string {
  const lines = text
    .replace(/^[ \t]*\r?\n/, "")
    .trimEnd()
    .split(/\r?\n/);
  const indents = lines
    .filter((line) => line.trim())
    .map((line) => (/^[ \t]*/.exec(line) as RegExpExecArray)[0].length);
  const indent = Math.min(...indents, Infinity);
  return lines.map((line) => line.slice(Number.isFinite(indent) ? indent : 0)).join("\n");
}

function createButton(name: string, text: string, onClick: () => void): HTMLButtonElement {
  const button = createElement("button", { class: name, type: "button" }, text);
  button.addEventListener("click", onClick);
  return button;
}

export class LiveCode extends HTMLElement {
  /**
   * The user's token, or a function that fetches one; in place of the attribute `token-url`. The
   * field has no initial value, which would replace one that was set before the element's upgrade.
   */
  declare token?: TokenSource;
  /** Set once the element has been built. */
  #code: CodeEditor | undefined;
  /** The texts that Reset restores, by file name. */
  #files = new Map<string, string>();
  /** The session that is shown. */
  #session: Session | undefined;
  #output!: Output;
  #terminal!: OutputTerminal;
  #canvas!: Canvas;
  /** Identifies the session that is shown, so that hooks of earlier sessions are ignored. */
  #sessionMarker: object = {};
  /** When the program was started, if this element started it. */
  #startedAt: number | undefined;
  /** When this element began to follow the session. */
  #followedAt = 0;
  /** Whether the user pressed Stop. */
  #isStopped = false;
  /** Whether the page has asked only to watch the session, so that nothing is sent to it. */
  #isWatching = false;
  /** Whether the session is another user's, and is followed by a share. */
  #isShared = false;
  /** Whether further notes of the program are not played. */
  #isSilenced = false;
  /** Why the session could not be followed to its end, in words. */
  #failure = NOT_RUN;
  readonly #music = new Music(() => this.#handleMusic());
  #parts!: Record<"run" | "stop" | "reset", HTMLButtonElement> & {
    status: HTMLElement;
    output: HTMLElement;
    form: HTMLFormElement;
    input: HTMLInputElement;
    tabs: HTMLElement;
  };

  connectedCallback(): void {
    if (this.#code) return;
    // The children may not have been parsed yet.
    if (document.readyState === "loading") {
      document.addEventListener("DOMContentLoaded", () => this.#build(), { once: true });
    } else this.#build();
  }

  disconnectedCallback(): void {
    // An element that is moved within the page is connected again before the microtask runs.
    queueMicrotask(() => {
      if (this.isConnected) return;
      this.#music.stop();
      this.#leaveSession();
    });
  }

  /** The current code of the first file. */
  get code(): string {
    return [...(this.#code?.texts().values() ?? [])][0] ?? "";
  }

  get state(): State | undefined {
    return this.#session?.state;
  }

  /** The session that is shown. */
  get session(): Session | undefined {
    return this.#session;
  }

  /**
   * Shows another program, which has one file. `original` is the code that Reset restores. The
   * user can undo the change.
   */
  load(runtime: string, code: string, original = code): void {
    this.#silence();
    this.setAttribute("runtime", runtime);
    const [name = UNNAMED_FILE] = this.#files.keys();
    this.#files = new Map([[name, original]]);
    this.#code?.set(name, code);
    void this.#code?.setLanguage(this.#language);
  }

  /** Shows an existing session. With `watch`, nothing is sent to the session. */
  follow(id: string, { watch = false } = {}): void {
    this.#follow((hooks) => attach({ ...this.#serverOptions(), id }, hooks), { isWatching: watch });
  }

  /** Shows the session that a share opens, by the secret of its link. */
  followShare(share: string): void {
    const { server } = this.#serverOptions();
    this.#follow((hooks) => attach({ server, share }, hooks), { isShared: true });
  }

  /**
   * Runs the code as it is now. A program that is still running is ended. With the attribute
   * `visitor`, whoever sees the page may run nothing.
   */
  run(): void {
    if (this.hasAttribute("visitor")) return;
    // Notes may go on after their program. Another program is not run to their sound.
    for (const editor of soundingEditors) if (editor.state === "ended") editor.#silence();
    this.#endRunning();
    const [[, code] = ["", ""], ...others] = this.#code?.texts() ?? [];
    const files: SourceFile[] = others.map(([filename, contents]) => ({ filename, contents }));
    const [name] = this.#files.keys();
    const timeout = Number(this.getAttribute("timeout"));
    const program = {
      runtime: this.#runtime,
      code,
      ...(name && name !== UNNAMED_FILE ? { code_filename: name } : {}),
      ...(files.length ? { files } : {}),
      ...(timeout ? { timeout } : {}),
    };
    this.#follow((hooks) => run({ ...this.#serverOptions(), ...program }, hooks), { isNew: true });
    this.#scrollIntoView();
  }

  /** Ends the program, and its notes. */
  stop(): void {
    this.#silence();
    if (this.#rights !== "own" || this.state === "ended") return;
    this.#isStopped = true;
    this.#session?.stop();
  }

  /** Restores the code that the page came with. */
  reset(): void {
    for (const [name, text] of [...this.#files].reverse()) this.#code?.set(name, text);
    this.#showTab(0);
  }

  get #runtime(): string {
    return this.getAttribute("runtime") ?? "python";
  }

  /** The language that is highlighted. */
  get #language(): string {
    return this.getAttribute("language") ?? this.#runtime;
  }

  /** Whether the server keeps the session when the page is left. */
  get #isKept(): boolean {
    return this.hasAttribute("resume") || this.hasAttribute("keep");
  }

  /**
   * The server's address, the source of the user's token, and the name under which the tab
   * remembers the session.
   */
  #serverOptions() {
    const key = this.getAttribute("resume");
    const server = this.getAttribute("server") ?? SCRIPT_SERVER;
    const tokenUrl = this.getAttribute("token-url");
    const token = this.token ?? (tokenUrl ? tokenFromUrl(tokenUrl) : tokenOfTag(server));
    return { server, ...(token ? { token } : {}), ...(key ? { key } : {}) };
  }

  /** Builds the element from its children, and follows a session that the tab remembers. */
  #build(): void {
    if (this.#code) return;
    this.#readFiles();
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    if (!sharedStyleSheet) {
      sharedStyleSheet = new CSSStyleSheet();
      sharedStyleSheet.replaceSync(STYLE);
    }
    root.adoptedStyleSheets = [sharedStyleSheet];
    this.#createParts();
    const { run, stop, reset, status, output, form, tabs } = this.#parts;
    keepEvents(this);
    const code = createElement("div", { class: "code", id: "code" });
    const canvas = createElement("div", {
      class: "canvas",
      tabindex: "0",
      role: "img",
      "aria-label": "Canvas that the program draws on",
      hidden: "",
    });
    const bar = createElement("div", { class: "bar" }, run, stop, reset, status);
    const shown = createElement("div", { class: "shown" }, canvas, output, form);
    root.replaceChildren(createElement("div", { class: "frame" }, bar, tabs, code, shown));

    this.#canvas = new Canvas(canvas, (name, data, options) => {
      const session = this.#session;
      if (!session || session.state === "ended" || this.#rights === "watch") return;
      // A refused event is not worth a message to the user.
      session.event(name, data, options).catch(() => {});
    });
    this.#createOutput(output);
    this.#code = new CodeEditor({
      parent: code,
      root,
      files: this.#files,
      language: this.#language,
      onRun: () => this.run(),
      onChange: () => this.dispatchEvent(new Event("livecode-change")),
    });
    this.#createTabs();
    const key = this.getAttribute("resume");
    if (key) this.#follow((hooks) => pickUp({ ...this.#serverOptions(), key }, hooks));
  }

  /** Reads the files: children with `data-filename`, or else the text of the element. */
  #readFiles(): void {
    const children = [...this.querySelectorAll<HTMLElement>("[data-filename]")];
    for (const { dataset, textContent } of children) {
      this.#files.set(dataset.filename ?? UNNAMED_FILE, dedent(textContent ?? ""));
    }
    if (children.length === 0) this.#files.set(UNNAMED_FILE, dedent(this.textContent ?? ""));
  }

  /** Creates the buttons, the status, the output and the form for input. */
  #createParts(): void {
    const input = createElement("input", {
      "aria-label": "Input for the program",
      autocomplete: "off",
      autocapitalize: "off",
      spellcheck: "false",
    });
    const send = createElement("button", {}, "Send");
    const end = createButton("eof", "End of input", () => this.#sendInput("", true));
    const form = createElement("form", { hidden: "" }, input, send, end);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#sendInput(`${input.value}\n`);
      input.value = "";
    });
    this.#parts = {
      run: createButton("run", "Run", () => this.run()),
      stop: createButton("stop", "Stop", () => this.stop()),
      reset: createButton("reset", "Reset", () => this.reset()),
      status: createElement("span", { class: "status", role: "status" }),
      output: createElement("div", {
        class: "output",
        role: "log",
        "aria-label": "Output",
        tabindex: "0",
        translate: "no",
      }),
      form,
      input,
      tabs: createElement("div", { class: "tabs", role: "tablist", "aria-label": "Files" }),
    };
    this.#parts.stop.disabled = true;
  }

  #createOutput(element: HTMLElement): void {
    let isAtEnd = true;
    // The output does not scroll by itself while the user has scrolled up to read.
    element.addEventListener("scroll", () => {
      const bottom = element.scrollTop + element.clientHeight;
      isAtEnd = bottom >= element.scrollHeight - SCROLL_TOLERANCE;
    });
    const showText = (text: string, file: string) => this.#terminal.write(text, file);
    this.#output = new Output(element, showText, () => {
      if (isAtEnd) element.scrollTop = element.scrollHeight;
    });
    this.#terminal = new OutputTerminal(this.#output);
  }

  #createTabs(): void {
    const names = [...this.#files.keys()];
    const { tabs } = this.#parts;
    tabs.hidden = names.length < 2;
    if (tabs.hidden) return;
    tabs.nextElementSibling?.setAttribute("role", "tabpanel");
    tabs.nextElementSibling?.setAttribute("aria-label", "File");
    names.forEach((name, index) => {
      const attributes = { type: "button", role: "tab", "aria-controls": "code" };
      const tab = createElement("button", attributes, name);
      tab.addEventListener("click", () => this.#showTab(index));
      tabs.append(tab);
    });
    tabs.addEventListener("keydown", ({ key }) => {
      const isSelected = (tab: Element) => tab.getAttribute("aria-selected") === "true";
      const at = [...tabs.children].findIndex(isSelected);
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (!step) return;
      this.#showTab((at + step + names.length) % names.length);
      tabs.querySelector<HTMLElement>("[aria-selected=true]")?.focus();
    });
    this.#showTab(0);
  }

  #showTab(index: number): void {
    const name = [...this.#files.keys()][index];
    if (name !== undefined) this.#code?.show(name);
    [...this.#parts.tabs.children].forEach((tab, at) => {
      tab.setAttribute("aria-selected", String(at === index));
      tab.setAttribute("tabindex", at === index ? "0" : "-1");
    });
  }

  /**
   * Ends the program that is shown, before another one is run. A watched program keeps running.
   */
  #endRunning(): void {
    if (!this.hasAttribute("keep")) return this.#session?.remove();
    const session = this.#session;
    if (!session || this.#rights !== "own" || session.state === "ended") return;
    // Without a connection the program cannot be stopped now. Its session is removed, so that the
    // program does not keep running unnoticed.
    if (session.state === "live") session.stop();
    else session.remove();
  }

  /** Stops following the session. The server deletes the session, unless it is to be kept. */
  #leaveSession(): void {
    if (this.#isKept) this.#session?.close();
    else this.#session?.remove();
  }

  /** Shows the session that `start` returns, in place of the session that was shown before. */
  #follow(
    start: (hooks: Hooks) => Session | null,
    { isNew = false, isWatching = false, isShared = false } = {},
  ): void {
    this.#leaveSession();
    const marker = (this.#sessionMarker = {});
    const isShown = () => this.#sessionMarker === marker;
    this.#output.clear();
    this.#canvas.clear();
    this.#terminal = new OutputTerminal(this.#output);
    this.#music.stop();
    this.#isSilenced = false;
    this.#followedAt = performance.now();
    this.#startedAt = isNew ? this.#followedAt : undefined;
    this.#isStopped = false;
    this.#isWatching = isWatching;
    this.#isShared = isShared;
    this.#failure = NOT_RUN;
    this.removeAttribute("data-exitstatus");
    const session = start({
      onMessage: (message) => isShown() && this.#handleMessage(message),
      onState: (state) => isShown() && this.#handleState(state),
      onError: (error) => isShown() && this.#showError(error),
      onBusy: ({ message }) => {
        if (isShown()) this.#parts.status.textContent = `waiting: ${message}`;
      },
    });
    this.#session = session ?? undefined;
    if (!session) return;
    if (!this.#isKept) endWithPage(session);
    this.#handleState(session.state);
  }

  /** What the user may do with the session that is shown. */
  get #rights(): Rights | "own" {
    if (this.#isShared) return this.#session?.rights ?? "watch";
    return this.#isWatching ? "watch" : "own";
  }

  #handleMessage(message: Message): void {
    switch (message.msgtype) {
      case "write":
        return this.#output.write(textOf(message), String(message.file));
      case "draw":
        if (!this.#canvas.isUsed) this.#scrollIntoViewAfterDrawing();
        return this.#canvas.add(message);
      case "shape":
        return this.#showShape(message);
      case "image":
        return this.#output.image(message.mimetype, message.data);
      case "table":
        return this.#output.block(() => createTable(message), tableCost(message));
      case "play":
        if (!this.#isReplaying && !this.#isSilenced) this.#music.play(message);
        return;
      case "gap":
        return this.#output.write("(some output was not kept)\n", "stderr");
      case "exitstatus":
        this.#showEnd(message);
    }
    // A page may handle a program's own messages itself.
    this.dispatchEvent(new CustomEvent("livecode-message", { detail: message }));
  }

  /** Draws a `shape` message, unless the page draws it itself and prevents this. */
  #showShape(message: Message): void {
    const event = new CustomEvent("livecode-message", { detail: message, cancelable: true });
    if (!this.dispatchEvent(event)) return;
    if (!this.#canvas.isUsed) this.#scrollIntoViewAfterDrawing();
    for (const drawing of drawingsOf(message)) this.#canvas.add(drawing);
  }

  /** Whether messages from before this element followed the session may still be arriving. */
  get #isReplaying(): boolean {
    return this.#startedAt === undefined && performance.now() - this.#followedAt <= REPLAY_MS;
  }

  #showEnd(exit: Message): void {
    // The output is complete before the page can see that the program has ended.
    this.#output.flush();
    this.#canvas.finish();
    this.setAttribute("data-exitstatus", String(exit.exitstatus));
    const seconds = this.#startedAt && (performance.now() - this.#startedAt) / 1000;
    this.#parts.status.textContent = describeEnd(exit, seconds, this.#isStopped);
  }

  #showError({ msg, field, message, code }: LiveCodeError): void {
    // An event, e.g. a click, may arrive just after the program has ended. This is not an error.
    if ((msg as Message | undefined)?.msgtype === "event") return;
    if (code === "no_such_share") this.#failure = NOT_SHARED;
    this.#output.write(`${field ? `${field}: ` : ""}${message}\n`, "stderr");
  }

  /** Scrolls to the output, which may be outside the visible part of the page on a phone. */
  #scrollIntoView(): void {
    if (this.getAttribute("layout") !== "split") return;
    this.#parts.output.parentElement?.scrollIntoView({ block: "nearest" });
  }

  /** Scrolls to the output two frames later, when the first drawing has been laid out. */
  #scrollIntoViewAfterDrawing(): void {
    requestAnimationFrame(() => requestAnimationFrame(() => this.#scrollIntoView()));
  }

  #handleState(state: State): void {
    const { form, status, run, input } = this.#parts;
    const focused = this.shadowRoot?.activeElement;
    this.setAttribute("data-state", state);
    const rights = this.#rights;
    form.hidden = state === "ended" || rights === "watch";
    this.#updateStop();
    // The focus must not be lost when the element that has it is hidden.
    if (state === "ended" && focused === input) run.focus();
    if (state === "live") {
      const roles = { own: "", join: ", you have joined", watch: ", you are watching" };
      status.textContent = `running${roles[rights]}`;
    } else if (state !== "ended") status.textContent = state;
    else if (!this.hasAttribute("data-exitstatus")) status.textContent = this.#failure;
    this.dispatchEvent(new CustomEvent("livecode-state", { detail: state }));
  }

  /** Enables Stop while there is anything that it ends: the program or its notes. */
  #updateStop(): void {
    const { stop, run } = this.#parts;
    const isRunning = this.#session !== undefined && this.state !== "ended";
    const canStop = (isRunning && this.#rights === "own") || this.#music.isSounding;
    // The focus must not be lost when the button that has it is disabled.
    if (!canStop && this.shadowRoot?.activeElement === stop) run.focus();
    stop.disabled = !canStop;
  }

  #handleMusic(): void {
    if (this.#music.isSounding) soundingEditors.add(this);
    else soundingEditors.delete(this);
    this.#updateStop();
  }

  /** Ends the notes that were sent, and plays no more of this program. */
  #silence(): void {
    this.#isSilenced = true;
    this.#music.stop();
  }

  /** Shows the user's input in the output, and sends it to the program. */
  #sendInput(text: string, eof = false): void {
    const session = this.#session;
    if (!session || session.state === "ended") return;
    this.#output.write(text, "typed");
    // The hook `onError` shows a refusal by the server. If the client itself rejects the input,
    // e.g. because the session has ended, nothing more is shown.
    session.input(text, { eof }).catch(() => {});
  }
}
