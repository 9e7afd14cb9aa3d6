/**
 * What the page shows: a program in the editor, and beside it the session that ran it. A program is
 * an example, one that came by a link, or one of the user's, which are kept.
 */

import { browser } from "../client/environment.js";
import type { LiveCodeError } from "../client/messages.js";
import type { LiveCode } from "../editor/element.js";
import { words } from "../words/words.js";
import { describeExample, type Example } from "./examples.js";
import { areSame, type Files, filesOf, freeName } from "./programs/files.js";
import { type Entry, Keeper, takeDrafts } from "./programs/keeper.js";
import {
  inTime,
  isQuotaError,
  NoAnswerError,
  type Program,
  type ProgramStore,
} from "./programs/store.js";
import type { Runtimes } from "./runtimes.js";
import { fromFragment } from "./share.js";
import type { PageStorage, SessionProgram, TabState } from "./storage.js";

/** The number of the user's programs that are one click away. */
const MAX_SHOWN = 4;

export interface WorkspaceParts {
  editor: LiveCode;
  runtimes: Runtimes;
  picker: HTMLSelectElement;
  notice: HTMLElement;
  /** The groups of buttons for the examples, and for the user's programs. */
  examples: HTMLElement;
  own: HTMLElement;
}

const entryOfExample = ({ title, runtime, code }: Example): Entry => {
  const copyName = title === "Hello" ? words.myProgram : words.my(describeExample(title));
  const files = filesOf(code);
  return { title, copyName, runtime, files, original: files };
};

const entryOf = (program: Program): Entry => {
  const { name, runtime, files, original } = program;
  return { title: "", copyName: name, runtime, files, original, program };
};

const isCodeLink = (fragment: string) =>
  /[#&](code|files|runtime)=/.test(fragment) && !/[#&](share|session)=/.test(fragment);

/** Takes a link out of the page's address, where its secret is not to be seen, and returns it. */
export function takeFragment(): string {
  const { hash } = location;
  // A link that has the code itself is no secret, and can be bookmarked.
  if (hash && !isCodeLink(hash)) setFragment("");
  return hash;
}

function setFragment(fragment: string): void {
  if (location.hash === fragment) return;
  history.replaceState(null, "", location.pathname + location.search + fragment);
}

export class Workspace {
  readonly keeper: Keeper;
  /** The session that the editor shows. */
  #session: Pick<TabState, "session" | "isWatching" | "share"> = {};
  /** The program of the run that has just begun, until its session is known. */
  #started: SessionProgram | undefined;
  /** The link by which the program came, while the address has it. */
  #link: string | undefined;
  /** The user's programs, the last changed first. */
  #programs: Program[] = [];
  /** Whether the editor is just being told to follow a session, so that it starts none. */
  #isFollowing = false;
  /** Parts of the notice. */
  #problem = "";
  #message = "";

  constructor(
    private readonly parts: WorkspaceParts,
    private readonly storage: PageStorage,
    private readonly store: ProgramStore,
    private readonly keys: () => string[],
  ) {
    const { editor, picker } = parts;
    this.keeper = new Keeper(store, browser(), keys, {
      readFiles: () => this.files,
      onSaved: (entry) => this.#handleSaved(entry),
      onReplaced: (entry) => entry === this.keeper.entry && this.#fillEditor(entry),
      onCopied: (copy, { name }) =>
        this.#say(words.changedElsewhere(name, copy.name)),
      onProblem: (error) => {
        this.#problem = error === undefined ? "" : isQuotaError(error) ? words.noSpaceForText : words.keepsNothing;
        this.#showNotice();
      },
    });
    store.onChange((id) => {
      void this.keeper.handleStoredElsewhere(id);
      void this.refresh();
    });
    editor.addEventListener("livecode-change", () => this.keeper.handleEdit());
    editor.addEventListener("livecode-state", () => this.#handleState());
    picker.addEventListener("change", () => this.#showRuntime(picker.value));
  }

  get runtime(): string {
    return this.parts.editor.getAttribute("runtime") ?? "python";
  }

  get files(): Files {
    return [...this.parts.editor.files];
  }

  /** The programs of the user, the last changed first. */
  get programs(): Program[] {
    return this.#programs;
  }

  /** The programs of the user as they were written last, also those that could not be stored. */
  async list(): Promise<Program[]> {
    const unsaved = this.keeper.unsaved();
    const ids = new Set(unsaved.map(({ id }) => id));
    try {
      const stored = await inTime(this.store.list());
      return [...unsaved, ...stored.filter(({ id }) => !ids.has(id))];
    } catch (error) {
      if (unsaved.length === 0) throw error;
      return unsaved;
    }
  }

  /**
   * Stores what an earlier page could not, and reads the programs. A browser that does not answer
   * must not keep the user from running a program: what it has is shown when it answers.
   */
  async start(): Promise<void> {
    const read = this.#readStore();
    try {
      await inTime(read);
    } catch (error) {
      this.keeper.report(error);
      if (error instanceof NoAnswerError) void this.#showLate(read);
    }
  }

  /** Shows the programs of a browser that answers late. */
  async #showLate(read: Promise<void>): Promise<void> {
    try {
      await read.catch(() => this.store.opened());
      await this.refresh();
      this.keeper.report(undefined);
    } catch {
      // The browser refuses to keep anything, which the page says already.
    }
  }

  async #readStore(): Promise<void> {
    await this.keeper.recover();
    // Drafts that cannot be stored must not hide the programs that are.
    const taken = this.#takeDrafts();
    await taken.catch(() => {});
    this.#programs = await this.store.list();
    void this.store.purge().catch(() => {});
    await taken;
  }

  /** Makes programs of the drafts that earlier versions of this page have kept. */
  async #takeDrafts(): Promise<void> {
    const { lasting } = browser();
    for (const { runtime, code } of takeDrafts(this.keys(), lasting)) {
      const programs = await this.store.list();
      const files = filesOf(code);
      // A tab with an earlier version of the page may have stored a draft again.
      if (!programs.some((one) => one.runtime === runtime && areSame(one.files, files))) {
        const names = programs.map(({ name }) => name);
        const name = freeName(words.my(this.parts.runtimes.titleOf(runtime)), names);
        const id = browser().hex(16);
        await this.store.save({ id, name, runtime, files, changed: 0, revision: 0 });
      }
      lasting.removeItem(`livecode-draft:${runtime}`);
    }
  }

  /** Shows an entry in the editor, in place of the current one, which is kept. */
  show(entry: Entry): void {
    this.#message = this.#leaveSession() ? words.runsOn : "";
    this.#link = undefined;
    this.keeper.open(entry);
    this.#fillEditor(entry);
    this.#update();
    setFragment("");
  }

  /** Shows a program of the user. The one that is shown stays as it is, with its session. */
  showProgram(program: Program): void {
    if (program.id === this.keeper.entry.program?.id) this.parts.editor.focusCode();
    else this.show(this.#entryOf(program));
  }

  /** Shows a program of the user as it was written last, also in another tab. */
  async open(program: Program): Promise<void> {
    this.showProgram((await this.#find(program.id)) ?? program);
  }

  /** The entry of a program as it was written last in this tab. */
  #entryOf(program: Program): Entry {
    const { keeper } = this;
    return keeper.unfinished(program.id) ?? entryOf(keeper.aside(program.id) ?? program);
  }

  #fillEditor({ runtime, files, original }: Entry): void {
    const { editor, picker, runtimes } = this.parts;
    // An operator's runtime may have any name.
    const mode = runtimes.find(runtime)?.editor_mode;
    if (mode) editor.setAttribute("language", mode);
    else editor.removeAttribute("language");
    editor.load(runtime, new Map(files), new Map(original ?? files));
    picker.value = runtime;
  }

  /** Shows the last program of the user in a runtime, or else the first example. */
  #showRuntime(runtime: string): void {
    const program = this.#programs.find((program) => program.runtime === runtime);
    const [example] = this.parts.runtimes.examplesOf(runtime);
    if (program) this.showProgram(program);
    else this.show(entryOfExample(example ?? { title: "", runtime, code: "" }));
  }

  /** Shows an empty program. */
  showNew(): void {
    this.show({ title: "", copyName: words.myProgram, runtime: this.runtime, files: filesOf("") });
    this.parts.editor.focusCode();
  }

  /** Shows what a new tab shows: the last work, or else the first example. */
  #showFirst(): void {
    const [last] = this.#programs;
    if (last) this.showProgram(last);
    else this.#showRuntime("python");
  }

  /** Restores the state of the tab before a reload. */
  async restore(tab: TabState | undefined): Promise<void> {
    if (!tab) return this.#showFirst();
    const { runtime, files, session, share, isWatching = false, title = "", copyName, link } = tab;
    const program = tab.program ? await this.#find(tab.program) : undefined;
    if (program) {
      this.showProgram(program);
      // The tab had a newer text if nothing was stored since, and yet the texts differ.
      if (tab.revision === program.revision && !areSame(files, this.files)) {
        this.#fillEditor({ ...this.keeper.entry, files });
        this.keeper.handleEdit();
      }
    } else {
      const original = title || link ? files : undefined;
      this.show({ title, copyName: copyName ?? words.myProgram, runtime, files, original });
      // The program is not in the browser any more, but its text is still here.
      if (tab.program) void this.keeper.keep();
    }
    if (link) this.#keepLink(link);
    if (share) this.#followShare(share);
    else if (session) this.#follow(session, { isWatching, texts: this.#textsOf(session) });
  }

  /** The program with this id, as it was written last. */
  async #find(id: string): Promise<Program | undefined> {
    const stored = await inTime(this.store.get(id)).catch(() => undefined);
    return this.keeper.aside(id) ?? stored;
  }

  /**
   * Opens the link in a fragment: shows its program or follows its session. No program is run before
   * the user presses Run. Calls `otherwise` if there is no link.
   */
  async openLink(fragment: string, otherwise: () => unknown): Promise<void> {
    try {
      const { session, share, runtime, code, files } = (await fromFragment(fragment)) ?? {};
      const linked = files ?? (code === undefined ? undefined : filesOf(code));
      const program = linked && { runtime: runtime ?? "python", files: linked };
      if (share) {
        this.#showFound(program ?? { runtime: this.runtime, files: filesOf("") });
        this.#followShare(share);
      } else if (session) this.followSession(session, { watch: true, program });
      else if (linked) {
        const name = this.parts.runtimes.find(runtime)?.name ?? "python";
        this.show({ title: "", copyName: words.sharedProgram, runtime: name, files: linked, original: linked });
        this.#keepLink(fragment);
      } else await otherwise();
    } catch {
      setFragment("");
      await otherwise();
      this.#say(words.brokenLink);
    }
  }

  #keepLink(link: string): void {
    this.#link = link;
    setFragment(link);
    this.storeTab();
  }

  /** Follows a session, and shows the program that it runs. */
  followSession(
    id: string,
    { watch, program, runtime }: { watch: boolean; program?: SessionProgram | undefined; runtime?: string },
  ): void {
    const ran = program ?? this.storage.program(id);
    if (ran) this.#showFound(ran);
    else {
      const name = runtime ?? this.runtime;
      this.show({ title: "", copyName: words.myProgram, runtime: name, files: filesOf("") });
      this.#say(words.unknownCode);
    }
    this.#follow(id, { isWatching: watch, texts: ran?.files.map(([, text]) => text) });
  }

  /** Shows a program that was found with a session, as the user's own one if that has this text. */
  #showFound({ runtime, files }: SessionProgram): void {
    const { entry } = this.keeper;
    if (runtime === this.runtime && areSame(files, this.files)) return void this.show(entry);
    const isIt = (one: SessionProgram) => one.runtime === runtime && areSame(one.files, files);
    const program = this.#programs.find(isIt);
    const example = this.parts.runtimes.examplesOf(runtime).map(entryOfExample).find(isIt);
    const found = { title: "", copyName: words.myProgram, runtime, files, original: files };
    this.show(program ? this.#entryOf(program) : (example ?? found));
  }

  #textsOf(session: string): string[] | undefined {
    return this.storage.program(session)?.files.map(([, text]) => text);
  }

  #follow(id: string, { isWatching, texts }: { isWatching: boolean; texts: string[] | undefined }): void {
    this.#session = { session: id, isWatching };
    this.#isFollowing = true;
    this.parts.editor.follow(id, { watch: isWatching, texts });
    this.#isFollowing = false;
    this.storeTab();
  }

  /** Follows the session that the secret of a share opens. */
  #followShare(share: string): void {
    const { editor } = this.parts;
    this.#session = { share };
    this.#isFollowing = true;
    editor.followShare(share);
    this.#isFollowing = false;
    const { session } = editor;
    session?.ended.catch(({ code }: LiveCodeError) => {
      if (code !== "no_such_share" || editor.session !== session) return;
      this.#say(words.linkNotShared);
      // A tab that kept the secret would be a visitor's for ever.
      this.#session = {};
      this.storeTab();
    });
    this.storeTab();
  }

  /**
   * Leaves the session that is shown: what another program has shown must not stand beside this.
   * Returns whether its program runs on.
   */
  #leaveSession(): boolean {
    const { editor } = this.parts;
    const isRunning = editor.session && editor.state !== "ended" && this.#session.session;
    this.#session = {};
    this.#started = undefined;
    if (editor.session) editor.leave();
    return Boolean(isRunning);
  }

  #handleState(): void {
    const { editor } = this.parts;
    const { id, rights } = editor.session ?? {};
    if (editor.state === "connecting" && !id) {
      if (this.#isFollowing) return;
      this.#started = { runtime: this.runtime, files: this.files };
      this.keeper.handleRun();
      return;
    }
    // The user has started a session if the editor shows one that is not known here.
    if (!id || id === this.#session.session || rights) return;
    this.#session = { session: id };
    if (this.#started) this.storage.storeProgram(id, this.#started);
    this.#message = "";
    this.#showNotice();
    this.storeTab();
  }

  #handleSaved(entry: Entry): void {
    if (entry === this.keeper.entry && this.#link) {
      // The link has what came by it, and not what it has become.
      this.#link = undefined;
      setFragment("");
    }
    // The buttons must not open what was stored before.
    const { program } = entry;
    const others = this.#programs.filter(({ id }) => id !== program?.id);
    if (program) this.#programs = [program, ...others];
    void this.refresh();
  }

  /** Shows the user's programs as they are now. */
  async refresh(): Promise<void> {
    this.#programs = await this.store.list().catch(() => this.#programs);
    this.#update();
  }

  /** Updates the buttons and the notice for the editor's program. */
  #update(): void {
    const { examples, own, runtimes } = this.parts;
    const { runtime } = this;
    const { entry } = this.keeper;
    const current = entry.program?.id;
    const shown = this.#programs.filter((program) => program.runtime === runtime);
    const recent = shown.filter(({ id }, index) => index < MAX_SHOWN || id === current);
    fill(own, [
      ...recent.map((program) => ({
        key: program.id,
        text: program.name,
        isPressed: program.id === current,
        onClick: () => this.showProgram(program),
      })),
      { key: "", text: words.newProgram, isPressed: false, onClick: () => this.showNew() },
    ]);
    const all = runtimes.examplesOf(runtime).map((example) => ({
      key: example.title,
      text: describeExample(example.title),
      isPressed: !current && example.title === entry.title,
      onClick: () => this.show(entryOfExample(example)),
    }));
    fill(examples, all);
    this.#showNotice();
    this.storeTab();
  }

  #say(message: string): void {
    this.#message = message;
    this.#showNotice();
  }

  #showNotice(): void {
    const parts = [this.#problem, this.parts.runtimes.lackOf(this.runtime), this.#message];
    const text = parts.filter(Boolean).join(" ");
    // A text that is set again may be read out again, and this is called whenever one is stored.
    if (this.parts.notice.textContent !== text) this.parts.notice.textContent = text;
  }

  storeTab(): void {
    const { title, copyName, program } = this.keeper.entry;
    const { runtime, files } = this;
    this.storage.tab = {
      ...{ runtime, files, title, copyName },
      ...(program ? { program: program.id, revision: program.revision } : {}),
      ...(this.#link ? { link: this.#link } : {}),
      ...this.#session,
    };
  }
}

interface Choice {
  /** Identifies the choice in its group. */
  key: string;
  text: string;
  isPressed: boolean;
  onClick: () => void;
}

/**
 * Fills a group with buttons. A button of the same choice stays the same element, so that it keeps
 * the focus, and a click that is under way.
 */
function fill(group: HTMLElement, choices: Choice[]): void {
  const known = new Map(
    [...group.querySelectorAll("button")].map((button) => [button.dataset.key, button]),
  );
  choices.forEach(({ key, text, isPressed, onClick }, index) => {
    const button = known.get(key) ?? document.createElement("button");
    known.delete(key);
    button.type = "button";
    button.dataset.key = key;
    if (button.textContent !== text) button.textContent = text;
    button.setAttribute("aria-pressed", String(isPressed));
    button.onclick = onClick;
    if (group.children[index] !== button) group.insertBefore(button, group.children[index] ?? null);
  });
  for (const button of known.values()) button.remove();
}
