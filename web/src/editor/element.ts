/** The element `<live-code>`: an editor for a program, with its output, canvas and input. */

import {
  attach,
  type CaseResult,
  type CasesResult,
  type Hooks,
  type LiveCodeError,
  type Message,
  pickUp,
  run,
  type Session,
  type SessionDocument,
  type State,
  type TokenSource,
} from "../client/index.js";
import { endWithPage } from "../dom/end-with-page.js";
import { Music } from "../dom/music.js";
import { words } from "../words/words.js";
import { Canvas } from "./canvas.js";
import { CodeEditor } from "./code.js";
import { packagesOf } from "./completion/packages.js";
import { createElement } from "./create-element.js";
import { describeEnd } from "./describe-end.js";
import { addSnippet, allSnippets, type Before, beforeOf, removeSnippet } from "./exercise/depends.js";
import { type Parts, partsIn, partsOf } from "./exercise/parts.js";
import { FileTabs } from "./file-tabs.js";
import { type Bar, createBar, createFrame } from "./frame.js";
import { keepEvents } from "./keep-events.js";
import type { OutputPane } from "./pane/pane.js";
import { followPlaces, placeLinks } from "./places/links.js";
import { named, type Program } from "./program.js";
import { canRead } from "./session/can-read.js";
import { Display } from "./session/display.js";
import { EndDetail } from "./session/end-detail.js";
import type { FollowOptions, SessionOptions } from "./session/follow-options.js";
import { InputLine } from "./session/input-line.js";
import { LeftSessions } from "./session/left-sessions.js";
import { isOfProgram, type Phase } from "./session/phase.js";
import { Recording } from "./session/recording.js";
import type { Replay } from "./session/replay.js";
import { Report } from "./session/report.js";
import { requestOf } from "./session/request.js";
import { findAgain, SCRIPT_SERVER, serverOf, serverOptionsOf } from "./session/server-options.js";
import { ShownSession } from "./session/shown-session.js";
import { adoptStyle, STYLE } from "./style.js";

/** The editors whose notes sound, or are going to. */
const soundingEditors = new Set<LiveCode>();

export class LiveCode extends HTMLElement {
  /**
   * The user's token, or a function that fetches one; in place of the attribute `token-url`. The
   * field has no initial value, which would replace one that was set before the element's upgrade.
   */
  declare token?: TokenSource;
  /** Set once the element has been built. */
  #code: CodeEditor | undefined;
  /** What the page gives: the texts that Reset restores, and what belongs to them. */
  #given: Parts = partsOf(new Map());
  /** The number of lines that ran before those of the first file. */
  #linesBefore = 0;
  /** What is shown. Another session has another object, so that its hooks are told apart. */
  #shown = new ShownSession();
  readonly #left = new LeftSessions();
  #pane!: OutputPane;
  #canvas!: Canvas;
  #display!: Display;
  /** What the session has shown. */
  #recording = new Recording();
  readonly #report = new Report((name, detail) => this.#tell(name, detail));
  /** The replay that is under way. */
  #replay: Replay | undefined;
  readonly #detail = new EndDetail();
  readonly #music = new Music(() => this.#handleMusic());
  #parts!: Bar;
  readonly #line = new InputLine((text, eof) => this.#sendInput(text, eof));
  #tabs!: FileTabs;

  connectedCallback(): void {
    if (this.#code) return addSnippet(this, this.#given.setup);
    // The children may not have been parsed yet.
    if (document.readyState === "loading") {
      document.addEventListener("DOMContentLoaded", () => this.#build(), { once: true });
    } else this.#build();
  }

  disconnectedCallback(): void {
    // An element that is moved within the page is connected again before the microtask runs.
    queueMicrotask(() => {
      if (this.isConnected) return;
      removeSnippet(this);
      this.#replay?.cancel();
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

  /** What the program has written on standard output and standard error: the last 400,000 characters. */
  get output(): string {
    return this.#report.output;
  }

  get state(): State | undefined {
    return this.session?.state;
  }

  /** The session that is shown. */
  get session(): Session | undefined {
    return this.#shown.session;
  }

  /**
   * Shows another program, which is a text, or several by their file names, of which the first
   * runs. `original` is what Reset restores.
   */
  load(runtime: string, program: Program, original: Program = program): void {
    this.#silence();
    this.setAttribute("runtime", runtime);
    this.#given = partsOf(named(original));
    const files = named(program);
    this.#code?.open(files);
    this.#report.prepare(this.#given);
    if (this.#code) addSnippet(this, "");
    this.#linesBefore = this.#updateLineNumbers();
    this.#tabs?.set([...files.keys()]);
    void this.#code?.setLanguage(this.#language, this.#runtime);
  }

  /**
   * Shows an existing session. With `watch`, nothing is sent to the session. `texts` are those of
   * the program that it runs, if they are known.
   */
  follow(id: string, { watch = false, texts }: FollowOptions = {}): void {
    this.#left.take(id);
    const start = (hooks: Hooks) => attach({ ...this.#serverOptions(), id }, hooks);
    this.#follow(start, { isWatching: watch, texts });
  }

  /**
   * Stops following the session, and shows nothing of it any more. Its program runs on if the server
   * keeps it, until another one is run here.
   */
  leave(): void {
    const { session, rights } = this.#shown;
    if (session && session.state !== "ended" && rights === "own") this.#left.add(session);
    this.#showNothing();
    this.removeAttribute("data-state");
    this.#line.show(false, this.#parts.run);
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
    let before: Before;
    try {
      before = beforeOf(this);
    } catch (error) {
      return this.#refuse((error as Error).message);
    }
    const { teardown: after, stdin, cases, problem } = this.#given;
    if (problem !== undefined) return this.#refuse(problem);
    const program = requestOf({
      ...{ runtime: this.#runtime, files: this.files, before, after, stdin, cases },
      timeout: Number(this.getAttribute("timeout")),
      isCurrentServer: this.#serverOptions().server === SCRIPT_SERVER,
    });
    this.#linesBefore = this.#updateLineNumbers();
    const start = (hooks: Hooks) => run({ ...this.#serverOptions(), ...program }, hooks);
    const texts = [...this.files.values(), ...before.files.values(), before.code, after];
    this.#follow(start, { isNew: true, texts, hasAllInput: (cases ?? stdin) !== undefined });
    this.#scrollIntoView();
  }

  /** Ends the program, and its notes; or the replay, of which the rest appears at once. */
  stop(): void {
    this.#replay?.finish();
    this.#silence();
    if (this.#shown.rights !== "own" || this.state === "ended") return;
    this.session?.stop();
  }

  /**
   * Shows again what a session that has ended has shown: picture by picture, and with its pauses,
   * if this page has seen them.
   */
  async replay(): Promise<void> {
    const shown = this.#shown;
    const { Replay } = await import("./session/replay.js");
    this.#replay?.finish();
    const [{ messages }, { status }] = [this.#recording, this.#parts];
    if (this.state !== "ended" || !messages || shown !== this.#shown) return;
    const text = status.textContent;
    this.#clearShown();
    status.textContent = words.replaying;
    const end = () => {
      this.#pane.output.flush();
      this.#canvas.finish();
      status.textContent = text;
      this.#replay = undefined;
      this.#updateStop();
    };
    this.#replay = new Replay(messages, (message) => this.#display.show(message), end);
    this.#replay.start();
    this.#updateStop();
    this.#scrollIntoView();
  }

  /** Moves the focus to the code. */
  focusCode(): void {
    this.#code?.focus();
  }

  /** Restores the code that the page came with. */
  reset(): void {
    const { files, fixed } = this.#given;
    for (const [name, text] of [...files].reverse()) this.#code?.set(name, text, fixed.get(name));
    this.#tabs.choose(0);
  }

  /** Numbers the lines as messages about the program do, which count those that run before. */
  #updateLineNumbers(): number {
    let count = 0;
    try {
      count = beforeOf(this).code.split("\n").length - 1;
    } catch {
      // An element of this id may come later. Without it the program does not run.
    }
    this.#code?.setLinesBefore(count);
    return count;
  }

  /** Shows why the program is not run. */
  #refuse(why: string): void {
    this.leave();
    this.#pane.output.write(`${why}\n`, "stderr");
    this.#parts.status.textContent = words.notRun;
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

  #serverOptions() {
    return serverOptionsOf(this, this.token);
  }

  /** Builds the element from its children, and follows a session that the tab remembers. */
  #build(): void {
    if (this.#code) return;
    this.#given = partsIn(this);
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    adoptStyle(root, STYLE);
    keepEvents(this);
    const bar = (this.#parts = createBar(this));
    const code = createElement("div", { class: "code", id: "code" });
    this.#tabs = new FileTabs(code, (name) => this.#code?.show(name));
    const ends = [this.#line.form, this.#detail.element, this.#report.element];
    const { element, pane, canvas } = createFrame(bar, this.#tabs.element, code, ends);
    this.#pane = pane;
    followPlaces(pane.element, ({ file, line, column }) => {
      this.#tabs.chooseNamed(file);
      this.#code?.goTo(line, column);
    });
    root.replaceChildren(element);
    this.#report.prepare(this.#given);

    this.#canvas = new Canvas(canvas, (name, data, options) => {
      const { session, rights } = this.#shown;
      if (!session || session.state === "ended" || rights === "watch") return;
      // A refused event is not worth a message to the user.
      session.event(name, data, options).catch(() => {});
    });
    this.#display = new Display(this.#pane, this.#canvas, this.#music, {
      isDrawnByPage: (message) => this.#tell("message", message, true),
      onFirstDrawing: () => this.#scrollIntoViewAfterDrawing(),
    });
    this.#code = new CodeEditor({
      parent: code,
      root,
      ...this.#given,
      language: this.#language,
      runtime: this.#runtime,
      getPackages: () => this.#findPackages(),
      onRun: () => this.run(),
      onChange: () => {
        this.#shown.isEdited = true;
        this.dispatchEvent(new Event("livecode-change"));
        for (const editor of allSnippets<LiveCode>()) editor.#updateLineNumbers();
      },
    });
    this.#tabs.set([...this.#given.files.keys()]);
    addSnippet(this, this.#given.setup);
    for (const editor of allSnippets<LiveCode>()) editor.#updateLineNumbers();
    this.#linesBefore = this.#updateLineNumbers();
    const key = this.getAttribute("resume");
    if (key) this.#follow((hooks) => pickUp({ ...this.#serverOptions(), key }, hooks));
  }

  /** The packages of the runtime. Whoever came by a share need not be known to the server. */
  async #findPackages(): Promise<string[]> {
    if (this.hasAttribute("visitor")) return [];
    return packagesOf(serverOf(this.#serverOptions()), this.#runtime);
  }

  /**
   * Ends the program that is shown, before another one is run. A watched program keeps running.
   */
  #endRunning(): void {
    const { session, rights } = this.#shown;
    if (!this.hasAttribute("keep")) return session?.remove();
    this.#left.end(this.#serverOptions());
    if (!session || rights !== "own" || session.state === "ended") return;
    // Without a connection the program cannot be stopped now. Its session is removed, so that the
    // program does not keep running unnoticed.
    if (session.state === "live") session.stop();
    else session.remove();
  }

  /** Stops following the session. The server deletes the session, unless it is to be kept. */
  #leaveSession(): void {
    if (this.#isKept) this.session?.close();
    else this.session?.remove();
  }

  /** Leaves the session that was shown before, and removes everything that it has shown. */
  #showNothing(): void {
    this.#leaveSession();
    this.#shown.stopWatching();
    this.#shown = new ShownSession();
    this.#recording = new Recording();
    this.#report.clear();
    this.#clearShown();
    this.#code?.clearErrors();
    this.#detail.clear();
    this.#parts.replay.hidden = true;
    this.removeAttribute("data-exitstatus");
  }

  /** Removes what the program has shown. */
  #clearShown(): void {
    this.#replay?.cancel();
    this.#replay = undefined;
    this.#pane.clear(placeLinks(this.#runtime, this.files, this.#linesBefore));
    this.#canvas.clear();
    this.#music.stop();
    this.#display.isSilenced = false;
  }

  /** Shows the session that `start` returns, in place of the session that was shown before. */
  #follow(start: (hooks: Hooks) => Session | null, options: SessionOptions = {}): void {
    this.#showNothing();
    const shown = (this.#shown = new ShownSession(options));
    shown.mayRead = !shown.texts || canRead(this.#runtime, shown.texts);
    const isShown = () => this.#shown === shown;
    const session = start({
      onMessage: (message) => isShown() && this.#handleMessage(message),
      onState: (state) => isShown() && this.#handleState(state),
      onError: (error) => isShown() && this.#showError(error),
      onWaiting: (isWaiting) => isShown() && this.#handleWaiting(isWaiting),
      onBusy: ({ message }) => {
        if (isShown()) this.#parts.status.textContent = words.waiting(message);
      },
    });
    if (!session) return;
    shown.session = session;
    if (!this.#isKept) endWithPage(session);
    this.#handleState(session.state);
  }

  #handleMessage(message: Message): void {
    if (message.msgtype === "cases") return this.#report.handleCases(message as CasesResult);
    // The input of cases comes with them.
    if (message.msgtype === "case") this.#endInput();
    const { phase, isPast, isReplaying } = this.#shown;
    if (phase && !isPast && isOfProgram(message)) this.#showPhase(undefined);
    if (message.msgtype === "case") {
      return this.#report.handleCase(message as CaseResult, this.#given.cases);
    }
    this.#recording.add(message, !isPast);
    if (message.msgtype === "write") this.#report.handleWrite(message);
    if (this.#display.show(message, isReplaying)) return;
    if (message.msgtype === "diagnostic") this.#markError(message);
    if (message.msgtype === "exitstatus") this.#showEnd(message);
    this.#tell("message", message);
    if (message.msgtype === "exitstatus") this.#report.handleEnd(message, this.#given);
  }

  /**
   * Tells the page something by an event, e.g. a message, which the page may handle itself.
   * Returns whether the page has prevented what the element does.
   */
  #tell(name: string, detail: unknown, cancelable = false): boolean {
    return !this.dispatchEvent(new CustomEvent(`livecode-${name}`, { detail, cancelable }));
  }

  /** Marks the line of an error, unless another program is shown by now. */
  #markError({ file, line, message, severity }: Message): void {
    const { files } = this;
    const isFurther = [...files.keys()].indexOf(String(file)) > 0;
    const text = isFurther ? files.get(String(file)) : this.code;
    if (text === undefined || !this.#shown.texts?.includes(text)) return;
    const shownLine = Number(line) - (isFurther ? 0 : this.#linesBefore);
    this.#code?.markError(String(file), shownLine, String(message), severity === "warning");
  }

  #showEnd(exit: Message): void {
    // The output is complete before the page can see that the program has ended.
    this.#pane.output.flush();
    this.#canvas.finish();
    this.setAttribute("data-exitstatus", String(exit.exitstatus));
    const { elapsedS, options, session } = this.#shown;
    // Whether cases have failed is told below the output.
    const end = this.#report.hasSum && exit.reason === undefined ? { ...exit, exitstatus: 0 } : exit;
    this.#parts.status.textContent = describeEnd(end, elapsedS);
    this.#parts.replay.hidden = !this.#recording.messages;
    const find = options.isShared ? undefined : this.#findDocument;
    void this.#detail.show(exit, session?.document, find);
  }

  /** The document of the session as it is now; undefined if the server gives none. */
  readonly #findDocument = (document: SessionDocument) => findAgain(document, this.#serverOptions());

  #showError({ msg, field, message, code }: LiveCodeError): void {
    // An event, e.g. a click, may arrive just after the program has ended. This is not an error.
    if ((msg as Message | undefined)?.msgtype === "event") return;
    if (code === "no_such_share") this.#shown.failure = "notShared";
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
    const shown = this.#shown;
    this.setAttribute("data-state", state);
    // A wait is over with its connection. The next one tells it again.
    shown.isWaiting &&= state === "live";
    if (state === "live") shown.watchPhase(this.#findDocument, (phase) => this.#showPhase(phase));
    else if (state !== "ended") status.textContent = words[state];
    else if (!this.hasAttribute("data-exitstatus")) status.textContent = words[shown.failure];
    if (state === "ended" || state === "connecting") this.#line.show(false, run);
    if (state === "ended") shown.stopWatching();
    this.#updateStop();
    this.dispatchEvent(new CustomEvent("livecode-state", { detail: state }));
  }

  /** Shows what a live session does; `phase` is undefined once its program runs. */
  #showPhase(phase: Phase | undefined): void {
    const shown = this.#shown;
    shown.phase = phase;
    if (!phase) shown.stopWatching();
    this.#parts.status.textContent = shown.text;
    this.#line.show(shown.takesInput, this.#pane.element);
    this.#updateStop();
  }

  /** Shows that the program waits for input, or does not wait any more. */
  #handleWaiting(isWaiting: boolean): void {
    const shown = this.#shown;
    shown.isWaiting = isWaiting;
    shown.mayRead ||= isWaiting;
    this.#showPhase(undefined);
    // A program that an earlier page has started does not make a page jump that is there for more.
    const isOffered = shown.options.isNew || this.getAttribute("layout") === "split";
    if (!isWaiting || !isOffered) return;
    // The question stands above the line.
    this.#pane.output.flush();
    this.#line.offer(shown.isEdited);
  }

  /** Enables Stop while there is anything that it ends: the program or its notes. */
  #updateStop(): void {
    const { stop, run } = this.#parts;
    const { isRunning, rights } = this.#shown;
    const canStop = (isRunning && rights === "own") || this.#music.isSounding || this.#replay;
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
    if (this.#display) this.#display.isSilenced = true;
    this.#music.stop();
  }

  /** Sends input to the program. It is shown unless it comes back in its place as a message. */
  #sendInput(text: string, eof = false): void {
    const { session } = this;
    if (!session || session.state === "ended") return;
    if (!session.document?.echo) this.#pane.output.write(text, "typed");
    // The hook `onError` shows a refusal by the server. If the client itself rejects the input,
    // e.g. because the session has ended, nothing more is shown.
    session.input(text, { eof }).catch(() => {});
    if (eof) this.#endInput();
  }

  /** Hides the line for input, because no more can be sent. */
  #endInput(): void {
    this.#shown.hasAllInput = true;
    this.#line.show(false, this.#pane.element);
  }
}
