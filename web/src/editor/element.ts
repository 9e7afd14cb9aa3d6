/** The element `<live-code>`: an editor for a program, with its output, canvas and input. */

import { browser } from "../client/environment.js";
import {
  attach,
  type Hooks,
  type LiveCodeError,
  type Message,
  pickUp,
  type Rights,
  run,
  type Session,
  type SessionDocument,
  type SourceFile,
  type State,
  textOf,
  tokenFromUrl,
  type TokenSource,
} from "../client/index.js";
import { Server } from "../client/server.js";
import { endWithPage } from "../dom/end-with-page.js";
import { Music } from "../dom/music.js";
import { tokenOfTag } from "../dom/token-of-tag.js";
import { words } from "../words/words.js";
import { Canvas } from "./canvas.js";
import { CodeEditor } from "./code.js";
import { packagesOf } from "./completion/packages.js";
import { createButton, createElement } from "./create-element.js";
import { describeEnd } from "./describe-end.js";
import { keepEvents } from "./keep-events.js";
import { FileTabs } from "./file-tabs.js";
import { Divider } from "./pane/divider.js";
import { OutputPane } from "./pane/pane.js";
import { followPlaces, placeLinks } from "./places/links.js";
import { filesIn, named, type Program, UNNAMED_FILE } from "./program.js";
import { canRead } from "./session/can-read.js";
import { EndDetail } from "./session/end-detail.js";
import { InputLine } from "./session/input-line.js";
import { type Phase, phaseOf, PhaseWatch, starting } from "./session/phase.js";
import { drawingsOf } from "./shapes.js";
import { STYLE } from "./style.js";
import { createTable, tableCost } from "./table.js";

/**
 * The time after attaching to an existing session in which `play` messages are not played, in
 * milliseconds. These messages are from the session's past.
 */
const REPLAY_MS = 1000;

/** The server that served this script. It knows each field of a request; another may be older. */
const SCRIPT_SERVER = import.meta.url.replace(/\/static\/[^/]*$/, "");

/** The editors whose notes sound, or are going to. */
const soundingEditors = new Set<LiveCode>();

/** The style sheet that all editors of the page share. */
let sharedStyleSheet: CSSStyleSheet | undefined;

export interface FollowOptions {
  /** Whether nothing is sent to the session. */
  watch?: boolean;
  /** The texts of the session's program. */
  texts?: Iterable<string> | undefined;
}

type SessionOptions = Pick<FollowOptions, "texts"> &
  Partial<Record<"isNew" | "isWatching" | "isShared", boolean>>;

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
  /** The ids of sessions whose programs run on, although they are not shown any more. */
  readonly #left = new Set<string>();
  #pane!: OutputPane;
  #canvas!: Canvas;
  /** Identifies the session that is shown, so that hooks of earlier sessions are ignored. */
  #sessionMarker: object = {};
  /** When the program was started, on the page's clock, as far as that is known. */
  #startedAt: number | undefined;
  /** Whether the session was started by this element, and not found. */
  #isNew = false;
  /** When this element began to follow the session. */
  #followedAt = 0;
  /** What the session does before its program runs; undefined while the program runs. */
  #phase: Phase | undefined;
  #phaseWatch: PhaseWatch | undefined;
  /** Whether the program may read input, as far as its text tells. */
  #canRead = true;
  #isWaiting = false;
  /** Whether the code was edited since the session is shown. */
  #isEdited = false;
  /** Whether the page has asked only to watch the session, so that nothing is sent to it. */
  #isWatching = false;
  /** Whether the session is another user's, and is followed by a share. */
  #isShared = false;
  /** Whether further notes of the program are not played. */
  #isSilenced = false;
  /** Why the session could not be followed to its end, as a key of the words. */
  #failure: "notRun" | "notShared" = "notRun";
  readonly #detail = new EndDetail();
  readonly #music = new Music(() => this.#handleMusic());
  #parts!: Record<"run" | "stop" | "reset", HTMLButtonElement> & { status: HTMLElement };
  #line!: InputLine;
  #tabs!: FileTabs;

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

  /** The current texts by file name. A single file may have no name, which is empty here. */
  get files(): Map<string, string> {
    return this.#code?.texts() ?? new Map();
  }

  get state(): State | undefined {
    return this.#session?.state;
  }

  /** The session that is shown. */
  get session(): Session | undefined {
    return this.#session;
  }

  /**
   * Shows another program, which is a text, or several by their file names, of which the first
   * runs. `original` is what Reset restores.
   */
  load(runtime: string, program: Program, original: Program = program): void {
    this.#silence();
    this.setAttribute("runtime", runtime);
    this.#files = named(original);
    const files = named(program);
    this.#code?.open(files);
    this.#tabs?.set([...files.keys()]);
    void this.#code?.setLanguage(this.#language);
  }

  /**
   * Shows an existing session. With `watch`, nothing is sent to the session. `texts` are those of
   * the program that it runs, if they are known.
   */
  follow(id: string, { watch = false, texts }: FollowOptions = {}): void {
    this.#left.delete(id);
    const start = (hooks: Hooks) => attach({ ...this.#serverOptions(), id }, hooks);
    this.#follow(start, { isWatching: watch, texts });
  }

  /**
   * Stops following the session, and shows nothing of it any more. Its program runs on if the server
   * keeps it, until another one is run here.
   */
  leave(): void {
    const session = this.#session;
    const isRunning = session && session.state !== "ended" && this.#rights === "own";
    if (isRunning && session.id === undefined) session.remove();
    if (isRunning && session.id !== undefined) this.#left.add(session.id);
    this.#showNothing();
    this.#session = undefined;
    this.removeAttribute("data-state");
    this.#line.form.hidden = true;
    this.#updateStop();
    this.#parts.status.textContent = "";
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
    const files: SourceFile[] = others.map(([name, contents]) => ({
      filename: name || UNNAMED_FILE,
      contents,
    }));
    const [name] = this.files.keys();
    const timeout = Number(this.getAttribute("timeout"));
    const { server } = this.#serverOptions();
    const program = {
      runtime: this.#runtime,
      code,
      ...(server === SCRIPT_SERVER ? { echo: true } : {}),
      ...(name ? { code_filename: name } : {}),
      ...(files.length ? { files } : {}),
      ...(timeout ? { timeout } : {}),
    };
    const start = (hooks: Hooks) => run({ ...this.#serverOptions(), ...program }, hooks);
    this.#follow(start, { isNew: true, texts: this.files.values() });
    this.#scrollIntoView();
  }

  /** Ends the program, and its notes. */
  stop(): void {
    this.#silence();
    if (this.#rights !== "own" || this.state === "ended") return;
    this.#session?.stop();
  }

  /** Moves the focus to the code. */
  focusCode(): void {
    this.#code?.focus();
  }

  /** Restores the code that the page came with. */
  reset(): void {
    for (const [name, text] of [...this.#files].reverse()) this.#code?.set(name, text);
    this.#tabs.choose(0);
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
    this.#files = filesIn(this);
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    if (!sharedStyleSheet) {
      sharedStyleSheet = new CSSStyleSheet();
      sharedStyleSheet.replaceSync(STYLE);
    }
    root.adoptedStyleSheets = [sharedStyleSheet];
    this.#createParts();
    const { run, stop, reset, status } = this.#parts;
    keepEvents(this);
    const code = createElement("div", { class: "code", id: "code" });
    this.#tabs = new FileTabs(code, (name) => this.#code?.show(name));
    const canvas = createElement("div", {
      class: "canvas",
      tabindex: "0",
      role: "img",
      "aria-label": words.canvas,
      hidden: "",
    });
    const frame = createElement("div", { class: "frame", lang: words.lang });
    frame.style.setProperty("--split-hint", JSON.stringify(words.splitHint));
    this.#pane = new OutputPane(frame);
    const { element: output, find, menu, note } = this.#pane;
    followPlaces(output, ({ file, line, column }) => {
      this.#tabs.chooseNamed(file);
      this.#code?.goTo(line, column);
    });
    const bar = createElement("div", { class: "bar" }, run, stop, reset, status, note, menu.button, menu.element);
    const detail = this.#detail.element;
    const shown = createElement("div", { class: "shown" }, find.element, canvas, output, this.#line.form, detail);
    const divider = new Divider(frame, code, shown);
    frame.append(bar, this.#tabs.element, code, divider.element, shown);
    root.replaceChildren(frame);

    this.#canvas = new Canvas(canvas, (name, data, options) => {
      const session = this.#session;
      if (!session || session.state === "ended" || this.#rights === "watch") return;
      // A refused event is not worth a message to the user.
      session.event(name, data, options).catch(() => {});
    });
    this.#code = new CodeEditor({
      parent: code,
      root,
      files: this.#files,
      language: this.#language,
      getPackages: () => this.#findPackages(),
      onRun: () => this.run(),
      onChange: () => {
        this.#isEdited = true;
        this.dispatchEvent(new Event("livecode-change"));
      },
    });
    this.#tabs.set([...this.#files.keys()]);
    const key = this.getAttribute("resume");
    if (key) this.#follow((hooks) => pickUp({ ...this.#serverOptions(), key }, hooks));
  }

  /** The packages of the runtime. Whoever came by a share need not be known to the server. */
  async #findPackages(): Promise<string[]> {
    if (this.hasAttribute("visitor")) return [];
    const { server, token } = this.#serverOptions();
    return packagesOf(new Server(server, browser(), token), this.#runtime);
  }

  #createParts(): void {
    this.#line = new InputLine((text, eof) => this.#sendInput(text, eof));
    this.#parts = {
      run: createButton("run", words.run, () => this.run()),
      stop: createButton("stop", words.stop, () => this.stop()),
      reset: createButton("reset", words.reset, () => this.reset()),
      status: createElement("span", { class: "status", role: "status" }),
    };
    this.#parts.stop.disabled = true;
  }

  /**
   * Ends the program that is shown, before another one is run. A watched program keeps running.
   */
  #endRunning(): void {
    if (!this.hasAttribute("keep")) return this.#session?.remove();
    this.#endLeft();
    const session = this.#session;
    if (!session || this.#rights !== "own" || session.state === "ended") return;
    // Without a connection the program cannot be stopped now. Its session is removed, so that the
    // program does not keep running unnoticed.
    if (session.state === "live") session.stop();
    else session.remove();
  }

  /** Ends the programs that run on although they are not shown any more. */
  #endLeft(): void {
    for (const id of this.#left) {
      const session = attach({ ...this.#serverOptions(), id });
      const close = () => session.close();
      session.signal("kill").then(close, close);
    }
    this.#left.clear();
  }

  /** Stops following the session. The server deletes the session, unless it is to be kept. */
  #leaveSession(): void {
    if (this.#isKept) this.#session?.close();
    else this.#session?.remove();
  }

  /** Leaves the session that was shown before, and removes everything that it has shown. */
  #showNothing(): void {
    this.#leaveSession();
    this.#phaseWatch?.stop();
    this.#phaseWatch = undefined;
    this.#sessionMarker = {};
    this.#pane.clear(placeLinks(this.#runtime, this.files));
    this.#canvas.clear();
    this.#music.stop();
    this.#isSilenced = false;
    this.#detail.clear();
    this.removeAttribute("data-exitstatus");
  }

  /** Shows the session that `start` returns, in place of the session that was shown before. */
  #follow(
    start: (hooks: Hooks) => Session | null,
    { isNew = false, isWatching = false, isShared = false, texts }: SessionOptions = {},
  ): void {
    this.#showNothing();
    const marker = this.#sessionMarker;
    const isShown = () => this.#sessionMarker === marker;
    this.#isNew = isNew;
    this.#followedAt = performance.now();
    this.#startedAt = isNew ? this.#followedAt : undefined;
    this.#phase = starting();
    this.#canRead = !texts || canRead(this.#runtime, texts);
    this.#isWatching = isWatching;
    this.#isWaiting = this.#isEdited = false;
    this.#isShared = isShared;
    this.#failure = "notRun";
    const session = start({
      onMessage: (message) => isShown() && this.#handleMessage(message),
      onState: (state) => isShown() && this.#handleState(state),
      onError: (error) => isShown() && this.#showError(error),
      onWaiting: (isWaiting) => isShown() && this.#handleWaiting(isWaiting),
      onBusy: ({ message }) => {
        if (isShown()) this.#parts.status.textContent = words.waiting(message);
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
    // A compiler writes to standard error, and a user may type early. All else comes from the program.
    const isOfProgram = message.file !== "stderr" && !/^(exitstatus|echo)$/.test(message.msgtype);
    if (isOfProgram && this.#phase && this.#phase.kind !== "loading") this.#showPhase(undefined);
    switch (message.msgtype) {
      case "write":
        return this.#pane.output.write(textOf(message), String(message.file));
      case "echo":
        return this.#pane.output.write(textOf(message), "typed");
      case "draw":
        if (!this.#canvas.isUsed) this.#scrollIntoViewAfterDrawing();
        return this.#canvas.add(message);
      case "shape":
        return this.#showShape(message);
      case "image":
        return this.#pane.output.image(message.mimetype, message.data);
      case "table":
        return this.#pane.output.block(() => createTable(message), tableCost(message));
      case "play":
        if (!this.#isReplaying && !this.#isSilenced) this.#music.play(message);
        return;
      case "gap":
        return this.#pane.output.write(`${words.outputNotKept}\n`, "stderr");
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
    return !this.#isNew && performance.now() - this.#followedAt <= REPLAY_MS;
  }

  #showEnd(exit: Message): void {
    // The output is complete before the page can see that the program has ended.
    this.#pane.output.flush();
    this.#canvas.finish();
    this.setAttribute("data-exitstatus", String(exit.exitstatus));
    const elapsed = this.#session?.document?.elapsed;
    const seconds =
      this.#phase?.kind === "loading"
        ? Number(elapsed)
        : this.#startedAt && (performance.now() - this.#startedAt) / 1000;
    this.#parts.status.textContent = describeEnd(exit, seconds);
    const find = this.#isShared ? undefined : this.#findDocument;
    void this.#detail.show(exit, this.#session?.document, find);
  }

  /** The document of the session as it is now; undefined if the server gives none. */
  readonly #findDocument = async ({ links }: SessionDocument) => {
    const { server, token } = this.#serverOptions();
    const result = await new Server(server, browser(), token).find(links.self);
    return result.kind === "found" ? result.document : undefined;
  };

  #showError({ msg, field, message, code }: LiveCodeError): void {
    // An event, e.g. a click, may arrive just after the program has ended. This is not an error.
    if ((msg as Message | undefined)?.msgtype === "event") return;
    if (code === "no_such_share") this.#failure = "notShared";
    this.#pane.output.write(`${field ? `${field}: ` : ""}${message}\n`, "stderr");
  }

  /** Scrolls to the output, which may be outside the visible part of the page on a phone. */
  #scrollIntoView(): void {
    if (this.getAttribute("layout") !== "split") return;
    this.#pane.element.parentElement?.scrollIntoView({ block: "nearest" });
  }

  /** Scrolls to the output two frames later, when the first drawing has been laid out. */
  #scrollIntoViewAfterDrawing(): void {
    requestAnimationFrame(() => requestAnimationFrame(() => this.#scrollIntoView()));
  }

  #handleState(state: State): void {
    const { status, run } = this.#parts;
    const focused = this.shadowRoot?.activeElement;
    this.setAttribute("data-state", state);
    this.#isWaiting &&= state === "live"; // the next connection tells it again
    if (state === "live") this.#handleLive();
    else if (state !== "ended") status.textContent = words[state];
    else if (!this.hasAttribute("data-exitstatus")) status.textContent = words[this.#failure];
    if (state === "ended" || state === "connecting") this.#line.form.hidden = true;
    if (state === "ended") this.#phaseWatch?.stop();
    // The focus must not be lost when the element that has it is hidden.
    if (state === "ended" && focused === this.#line.input) run.focus();
    this.#updateStop();
    this.dispatchEvent(new CustomEvent("livecode-state", { detail: state }));
  }

  /** Shows what the session does, which its document tells, or the server if it is asked again. */
  #handleLive(): void {
    const document = this.#session?.document;
    if (this.#phase?.kind === "starting") {
      // A server of v0.1 has no documents.
      const phase = document && phaseOf(document);
      // Users of a share get no later document, and would never be told that the phase is over.
      this.#phase = this.#isShared && phase?.kind !== "loading" ? undefined : phase;
      const elapsedMs = Number(document?.elapsed) * 1000;
      if (!this.#isNew && document) this.#startedAt = performance.now() - elapsedMs;
    }
    this.#showPhase(this.#phase);
    if (!document || !this.#phase || this.#phase.kind === "loading") return;
    this.#phaseWatch?.stop();
    const show = (phase?: Phase) => this.#session?.state === "live" && this.#showPhase(phase);
    this.#phaseWatch = new PhaseWatch(() => this.#findDocument(document), show);
  }

  /** Shows what a live session does; `phase` is undefined once its program runs. */
  #showPhase(phase: Phase | undefined): void {
    const rights = this.#rights;
    this.#phase = phase;
    if (!phase) this.#phaseWatch?.stop();
    const text = phase?.text ?? (this.#isWaiting ? words.waitingForInput : words.running);
    const told = { own: text, join: words.youHaveJoined(text), watch: words.youAreWatching(text) };
    this.#parts.status.textContent = phase?.kind === "loading" ? text : told[rights];
    this.#line.form.hidden = phase !== undefined || rights === "watch" || !this.#canRead;
    this.#updateStop();
  }

  #handleWaiting(isWaiting: boolean): void {
    this.#isWaiting = isWaiting;
    this.#canRead ||= isWaiting;
    this.#showPhase(undefined);
    if (isWaiting) this.#line.offer(!this.#isNew || this.#isEdited);
  }

  /** Enables Stop while there is anything that it ends: the program or its notes. */
  #updateStop(): void {
    const { stop, run } = this.#parts;
    const isEnded = this.state === "ended" || this.#phase?.kind === "loading";
    const isRunning = this.#session !== undefined && !isEnded;
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

  /** Sends input to the program. It is shown unless it comes back in its place as a message. */
  #sendInput(text: string, eof = false): void {
    const session = this.#session;
    if (!session || session.state === "ended") return;
    if (!session.document?.echo) this.#pane.output.write(text, "typed");
    // The hook `onError` shows a refusal by the server. If the client itself rejects the input,
    // e.g. because the session has ended, nothing more is shown.
    session.input(text, { eof }).catch(() => {});
  }
}
