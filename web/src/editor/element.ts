/** `<live-code>`: a program that is written, run and played with where it stands. */

import { attach, type Hooks, type Message, pickUp, run, type Session, type SourceFile, type State, textOf } from "../client/index.js";
import { endWithPage } from "../page/leave.js";
import { Music } from "../page/music.js";
import { Output } from "../page/output.js";
import { Ansi } from "./ansi.js";
import { Canvas } from "./canvas.js";
import { Code } from "./code.js";
import { make } from "./make.js";
import { STYLE } from "./style.js";
import { table, tableCost } from "./table.js";
import { ending } from "./words.js";

/** The name of the tab of what has no name. */
const MAIN = "code";
/** For how long what comes of a session that ran already is its past, in milliseconds: that is shown, but not heard. */
const PAST_MS = 1000;

/** The server that this file came from. */
const OWN_SERVER = import.meta.url.replace(/\/static\/[^/]*$/, "");

let sheet: CSSStyleSheet | undefined;

/** Without the empty first line and the common indentation that a page's source brings. */
export function dedent(text: string): string {
  const lines = text.replace(/^[ \t]*\r?\n/, "").trimEnd().split(/\r?\n/);
  const indents = lines.filter((line) => line.trim()).map((line) => (/^[ \t]*/.exec(line) as RegExpExecArray)[0].length);
  const indent = Math.min(...indents, Infinity);
  return lines.map((line) => line.slice(Number.isFinite(indent) ? indent : 0)).join("\n");
}

export class LiveCode extends HTMLElement {
  #code: Code | undefined;
  #files = new Map<string, string>();
  #session: Session | undefined;
  #output!: Output;
  #canvas!: Canvas;
  #ansi = { stdout: new Ansi(), stderr: new Ansi() };
  /** Stands for the run that is shown. */
  #mark: object = {};
  /** When it began, where this page began it. */
  #began: number | undefined;
  #followed = 0;
  #isStopped = false;
  #isWatching = false;
  readonly #music = new Music();
  #parts!: Record<"run" | "stop" | "reset", HTMLButtonElement> & {
    status: HTMLElement;
    output: HTMLElement;
    form: HTMLFormElement;
    input: HTMLInputElement;
    tabs: HTMLElement;
  };

  connectedCallback(): void {
    if (this.#code) return;
    // What stands inside may not have been read yet.
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => this.#begin(), { once: true });
    else this.#begin();
  }

  disconnectedCallback(): void {
    // Moved within the page, it is connected again at once.
    queueMicrotask(() => {
      if (this.isConnected) return;
      this.#music.stop();
      if (this.#isKept) this.#session?.close();
      else this.#session?.remove();
    });
  }

  /** The code as it stands. */
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

  /** Shows another program, of one file; `original` is what Reset brings back. It can be undone. */
  load(runtime: string, code: string, original = code): void {
    this.setAttribute("runtime", runtime);
    const [name] = this.#files.keys();
    this.#files = new Map([[name ?? MAIN, original]]);
    this.#code?.set(name ?? MAIN, code);
    void this.#code?.speak(runtime);
  }

  /** Shows a session that exists; one that is watched gets nothing from here. */
  follow(id: string, { watch = false } = {}): void {
    this.#follow((hooks) => attach({ ...this.#place(), id }, hooks), { isWatching: watch });
  }

  /** Runs it as it stands; what ran before is ended. */
  run(): void {
    this.#leave();
    const [[, code] = ["", ""], ...others] = this.#code?.texts() ?? [];
    const files: SourceFile[] = others.map(([filename, contents]) => ({ filename, contents }));
    const [name] = this.#files.keys();
    const timeout = Number(this.getAttribute("timeout"));
    this.#follow(
      (hooks) =>
        run(
          {
            ...this.#place(),
            runtime: this.#runtime,
            code,
            ...(name && name !== MAIN ? { code_filename: name } : {}),
            ...(files.length ? { files } : {}),
            ...(timeout ? { timeout } : {}),
          },
          hooks,
        ),
      { isNew: true },
    );
    this.#bringIntoView();
  }

  /** Ends the program. */
  stop(): void {
    this.#isStopped = true;
    this.#music.stop();
    this.#session?.stop();
  }

  /** Brings back the code that the page came with. */
  reset(): void {
    for (const [name, text] of [...this.#files].reverse()) this.#code?.set(name, text);
    this.#showTab(0);
  }

  get #runtime(): string {
    return this.getAttribute("runtime") ?? "python";
  }

  /** Whether the server keeps the sessions, whatever becomes of the page. */
  get #isKept(): boolean {
    return this.hasAttribute("resume") || this.hasAttribute("keep");
  }

  #place() {
    const key = this.getAttribute("resume");
    return { server: this.getAttribute("server") ?? OWN_SERVER, ...(key ? { key } : {}) };
  }

  #begin(): void {
    if (this.#code) return;
    const named = [...this.querySelectorAll<HTMLElement>("[data-filename]")];
    for (const element of named) this.#files.set(element.dataset.filename ?? MAIN, dedent(element.textContent ?? ""));
    if (named.length === 0) this.#files.set(MAIN, dedent(this.textContent ?? ""));

    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    if (!sheet) {
      sheet = new CSSStyleSheet();
      sheet.replaceSync(STYLE);
    }
    root.adoptedStyleSheets = [sheet];
    const button = (name: string, words: string, action: () => void) => {
      const made = make("button", { class: name, type: "button" }, words);
      made.addEventListener("click", action);
      return made;
    };
    const input = make("input", { "aria-label": "Input for the program", autocomplete: "off", autocapitalize: "off", spellcheck: "false" });
    this.#parts = {
      run: button("run", "Run", () => this.run()),
      stop: button("stop", "Stop", () => this.stop()),
      reset: button("reset", "Reset", () => this.reset()),
      status: make("span", { class: "status", role: "status" }),
      output: make("div", { class: "output", role: "log", "aria-label": "Output", tabindex: "0" }),
      form: make("form", { hidden: "" }, input, make("button", {}, "Send")),
      input,
      tabs: make("div", { class: "tabs", role: "tablist", "aria-label": "Files" }),
    };
    const { run, stop, reset, status, output, form, tabs } = this.#parts;
    stop.disabled = true;
    form.append(button("eof", "End of input", () => this.#type("", true)));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#type(`${input.value}\n`);
      input.value = "";
    });
    const place = make("div", { class: "code", id: "code" });
    const canvas = make("div", { class: "canvas", tabindex: "0", role: "img", "aria-label": "Canvas that the program draws on", hidden: "" });
    const shown = make("div", { class: "shown" }, canvas, output, form);
    root.replaceChildren(make("div", { class: "frame" }, make("div", { class: "bar" }, run, stop, reset, status), tabs, place, shown));

    this.#canvas = new Canvas(canvas, (name, data, options) => {
      if (this.#session && this.#session.state !== "ended" && !this.#isWatching) this.#session.event(name, data, options).catch(() => {});
    });
    let follows = true;
    // Whoever has scrolled up to read stays there.
    output.addEventListener("scroll", () => (follows = output.scrollTop + output.clientHeight >= output.scrollHeight - 30));
    this.#output = new Output(output, (text, file) => this.#render(text, file), () => {
      if (follows) output.scrollTop = output.scrollHeight;
    });
    this.#code = new Code(place, root, this.#files, this.#runtime, () => this.run(), () => this.dispatchEvent(new Event("livecode-change")));
    this.#makeTabs();
    const key = this.getAttribute("resume");
    if (key) this.#follow((hooks) => pickUp({ ...this.#place(), key }, hooks));
  }

  #makeTabs(): void {
    const names = [...this.#files.keys()];
    const { tabs } = this.#parts;
    tabs.hidden = names.length < 2;
    if (tabs.hidden) return;
    tabs.nextElementSibling?.setAttribute("role", "tabpanel");
    tabs.nextElementSibling?.setAttribute("aria-label", "File");
    names.forEach((name, index) => {
      const tab = make("button", { type: "button", role: "tab", "aria-controls": "code" }, name);
      tab.addEventListener("click", () => this.#showTab(index));
      tabs.append(tab);
    });
    tabs.addEventListener("keydown", ({ key }) => {
      const at = [...tabs.children].findIndex((tab) => tab.getAttribute("aria-selected") === "true");
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

  /** Ends what this page began; the server forgets it, unless it is to keep it. */
  #leave(): void {
    if (!this.hasAttribute("keep")) return this.#session?.remove();
    const session = this.#session;
    if (!session || this.#isWatching || session.state === "ended") return;
    // What cannot be told to end now is not left to run on unseen.
    if (session.state === "live") session.stop();
    else session.remove();
  }

  #follow(start: (hooks: Hooks) => Session | null, { isNew = false, isWatching = false } = {}): void {
    if (this.#isKept) this.#session?.close();
    else this.#session?.remove();
    const mark = (this.#mark = {});
    // Of a program that has been replaced nothing is shown any more.
    const isOwn = () => this.#mark === mark;
    this.#output.clear();
    this.#canvas.clear();
    this.#ansi = { stdout: new Ansi(), stderr: new Ansi() };
    this.#music.stop();
    this.#followed = performance.now();
    this.#began = isNew ? this.#followed : undefined;
    this.#isStopped = false;
    this.#isWatching = isWatching;
    this.removeAttribute("data-exitstatus");
    const session = start({
      onMessage: (message) => isOwn() && this.#take(message),
      onState: (state) => isOwn() && this.#changed(state),
      onError: (error) => {
        // A click that comes as the program ends is nobody's mistake.
        const isEvent = (error.msg as Message | undefined)?.msgtype === "event";
        if (isOwn() && !isEvent) this.#output.write(`${error.field ? `${error.field}: ` : ""}${error.message}\n`, "stderr");
      },
    });
    this.#session = session ?? undefined;
    if (!session) return;
    if (!this.#isKept) endWithPage(session);
    this.#changed(session.state);
  }

  #take(message: Message): void {
    switch (message.msgtype) {
      case "write":
        return this.#output.write(textOf(message), String(message.file));
      case "draw":
        if (!this.#canvas.isUsed) requestAnimationFrame(() => requestAnimationFrame(() => this.#bringIntoView()));
        return this.#canvas.take(message);
      case "image":
        return this.#output.image(message.mimetype, message.data);
      case "table":
        return this.#output.block(() => table(message), tableCost(message));
      case "play":
        if (this.#began !== undefined || performance.now() - this.#followed > PAST_MS) this.#music.take(message);
        return;
      case "gap":
        return this.#output.write("(some output was not kept)\n", "stderr");
      case "exitstatus":
        // Who sees that it has ended sees all that it did.
        this.#output.flush();
        this.#canvas.finish();
        this.setAttribute("data-exitstatus", String(message.exitstatus));
        this.#parts.status.textContent = ending(message, this.#began && (performance.now() - this.#began) / 1000, this.#isStopped);
    }
    // For a page that does something of its own with a program's messages.
    this.dispatchEvent(new CustomEvent("livecode-message", { detail: message }));
  }

  /** On a phone what a program does may lie below what is seen. */
  #bringIntoView(): void {
    if (this.getAttribute("layout") === "split") this.#parts.output.parentElement?.scrollIntoView({ block: "nearest" });
  }

  #changed(state: State): void {
    const { stop, form, status, run, input } = this.#parts;
    const hadFocus = this.shadowRoot?.activeElement;
    this.setAttribute("data-state", state);
    stop.disabled = form.hidden = state === "ended" || this.#isWatching;
    // What had the focus is gone: it must not be lost.
    if (state === "ended" && (hadFocus === input || hadFocus === stop)) run.focus();
    if (state === "live") status.textContent = this.#isWatching ? "running, you watch" : "running";
    else if (state !== "ended") status.textContent = state;
    else if (!this.hasAttribute("data-exitstatus")) status.textContent = "could not be run";
    this.dispatchEvent(new CustomEvent("livecode-state", { detail: state }));
  }

  #type(text: string, eof = false): void {
    const session = this.#session;
    if (!session || session.state === "ended") return;
    this.#output.write(text, "typed");
    session.input(text, { eof }).catch(() => {}); // what is refused comes as an error
  }

  #render(text: string, file: string): Node {
    if (file === "typed") return make("span", { class: "typed" }, text);
    const place = file === "stderr" ? make("span", { class: file }) : make("span");
    for (const piece of this.#ansi[file === "stderr" ? "stderr" : "stdout"].read(text)) {
      place.append(piece.styles.length ? make("span", { class: piece.styles.join(" ") }, piece.text) : piece.text);
    }
    return place;
  }
}
