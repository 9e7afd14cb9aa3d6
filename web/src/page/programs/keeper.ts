/**
 * Keeps what the user writes. The editor shows an entry: an example, a link's program, or a program
 * of the user. The first edit of the former makes the latter: a copy, so that nothing is replaced.
 *
 * Whatever was on the screen for a moment is in the browser's IndexedDB. What could not be stored
 * there, because the page is being closed or the browser has no space, is in `localStorage` until
 * it can.
 */

import type { Environment, Store } from "../../client/environment.js";
import { areSame, type Files, freeName, isDrasticChange } from "./files.js";
import { inTime, type Program, type ProgramStore, type SaveOptions } from "./store.js";

/** The time without an edit after which the program is stored, in milliseconds. */
const DELAY_MS = 300;
/** The longest time between an edit and storing it, in milliseconds, of a user who never pauses. */
const MAX_DELAY_MS = 500;
/** The time after a failure at which storing is tried again, in milliseconds. */
const RETRY_MS = 5000;
/** The time after which the browser may not be able to finish storing a program, in milliseconds. */
const SLOW_MS = 1000;
/** The beginning of the keys under which programs are that are not in IndexedDB yet. */
const UNSAVED = "livecode-unsaved:";

/** What the editor shows. */
export interface Entry {
  /** The title of an example; empty for everything else. */
  title: string;
  /** The name that a copy gets. */
  copyName: string;
  runtime: string;
  /** The files as they were loaded or stored last. */
  files: Files;
  /** What Reset restores. */
  original?: Files | undefined;
  /** The program of the user; undefined until there is one. */
  program?: Program | undefined;
}

export interface KeeperHooks {
  /** Returns the files as they are in the editor now. */
  readFiles(): Files;
  /** Called when the entry's program was stored, or given a new name. */
  onSaved(entry: Entry): void;
  /** Called when another tab has stored the entry's program, which the editor is to show. */
  onReplaced(entry: Entry): void;
  /** Called when another tab has changed the program, and the own changes became a copy. */
  onCopied(copy: Program, stored: Program): void;
  /** Called when storing fails, and when it succeeds again, with no error. */
  onProblem(error: unknown): void;
}

export class Keeper {
  /** What the editor shows. */
  entry: Entry = { title: "", copyName: "", runtime: "python", files: [["", ""]] };
  /** The timer that ends when the user pauses. */
  #pauseTimer: ReturnType<typeof setTimeout> | undefined;
  /** The timer of the time at which the edits are stored at the latest, while there are any. */
  #deadline: ReturnType<typeof setTimeout> | undefined;
  /**
   * The files before the edits that were made without a pause. They are stored several times, but
   * what such edits delete little by little must become a version as if it was deleted at once.
   */
  #beforeEdits: Files | undefined;
  /** Settles when everything that was to be stored is stored. */
  #queue: Promise<void> = Promise.resolve();
  #hasProblem = false;
  /** The entries that are being stored, or are in the queue. */
  readonly #saving: Entry[] = [];
  /** The entries whose last edits could not be stored, and the timer of the next try. */
  readonly #failed = new Set<Entry>();
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  /** Whether nothing is stored any more, because the user has signed out. */
  #isStopped = false;

  constructor(
    private readonly store: ProgramStore,
    private readonly environment: Pick<Environment, "hex" | "lasting">,
    /** The keys of `localStorage`. */
    private readonly keys: () => string[],
    private readonly hooks: KeeperHooks,
  ) {}

  /** Whether there are edits that are not being stored yet. */
  get isDirty(): boolean {
    return this.#deadline !== undefined;
  }

  /** Notes that the editor shows another entry now. The edits of the entry before are stored. */
  open(entry: Entry): void {
    this.#handlePause();
    this.entry = entry;
  }

  /** Notes that the user has edited something. */
  handleEdit(): void {
    if (this.#isStopped) return;
    clearTimeout(this.#pauseTimer);
    this.#pauseTimer = setTimeout(() => this.#handlePause(), DELAY_MS);
    this.#deadline ??= setTimeout(() => void this.flush(), MAX_DELAY_MS);
  }

  /** Notes that the program is run: what was run becomes a version, so that it can be found again. */
  handleRun(): void {
    this.#handlePause();
    const { entry } = this;
    this.#queue = this.#queue.then(async () => {
      // The program itself is stored, so that a version that cannot be is no reason for a notice.
      if (!this.#isStopped && entry.program) {
        await this.store.addVersion(entry.program.id).catch(() => {});
      }
    });
  }

  /** Stores the edits, and waits until everything is stored. */
  flush(): Promise<void> {
    if (this.isDirty) {
      clearTimeout(this.#deadline);
      this.#deadline = undefined;
      const { entry } = this;
      const files = this.hooks.readFiles();
      if (!areSame(files, entry.files)) {
        const before = (this.#beforeEdits ??= entry.files);
        const isDrastic = isDrasticChange(before, files);
        if (isDrastic) this.#beforeEdits = files;
        const options: SaveOptions = isDrastic ? { before } : {};
        entry.files = files;
        entry.program = { ...(entry.program ?? this.#newProgram(entry)), files };
        this.#enqueue(entry, files, options);
      }
    }
    return this.#queue;
  }

  /**
   * Stores the edits where that is done at once, because the page may be closed now. The browser
   * drops what it has not finished storing then, so that is put aside, too.
   */
  flushNow(): void {
    const { entry } = this;
    const unfinished = new Set(this.#saving);
    if (this.isDirty) {
      const files = this.hooks.readFiles();
      if (!areSame(files, entry.files)) {
        entry.program = { ...(entry.program ?? this.#newProgram(entry)), files };
        unfinished.add(entry);
      }
    }
    for (const { program } of unfinished) if (program) this.#putAside(program);
  }

  /** Stores what an earlier page could not store, and tries again if that fails. */
  async recover(): Promise<void> {
    if (this.#isStopped) return;
    const { lasting } = this.environment;
    for (const key of this.keys().filter((key) => key.startsWith(UNSAVED))) {
      const text = lasting.getItem(key);
      const program = this.aside(key.slice(UNSAVED.length));
      if (!program) continue;
      try {
        await this.#saveOrCopy(program);
        // The program's own tab may have put aside newer edits meanwhile.
        if (lasting.getItem(key) === text) lasting.removeItem(key);
        void this.handleStoredElsewhere(program.id);
      } catch (error) {
        this.report(error);
        setTimeout(() => void this.recover(), RETRY_MS);
        return;
      }
    }
    this.#reportSuccess();
  }

  /** The programs that could not be stored yet, as they were written last. */
  unsaved(): Program[] {
    const all = new Map<string, Program>();
    const ids = this.keys().filter((key) => key.startsWith(UNSAVED));
    const aside = ids.map((key) => this.aside(key.slice(UNSAVED.length)));
    // If localStorage has no space either, they are only here.
    const known = [...this.#failed, ...this.#saving].map(({ program }) => program);
    for (const one of [...aside, ...known]) if (one) all.set(one.id, { ...one, changed: Date.now() });
    return [...all.values()];
  }

  /** The entry of a program that is not stored yet as it was written last. */
  unfinished(id: string): Entry | undefined {
    return [...this.#saving, ...this.#failed].find(({ program }) => program?.id === id);
  }

  /** Stores a program no more that could not be stored, because the user has deleted it. */
  drop(id: string): void {
    for (const entry of this.#failed) if (entry.program?.id === id) this.#failed.delete(entry);
    this.environment.lasting.removeItem(UNSAVED + id);
    this.#reportSuccess();
  }

  /** The program with this id as it was put aside, if it could not be stored yet. */
  aside(id: string): Program | undefined {
    try {
      const text = this.environment.lasting.getItem(UNSAVED + id);
      return text === null ? undefined : (JSON.parse(text) as Program);
    } catch {
      return undefined; // The value is not JSON, so this page did not write it.
    }
  }

  /** Takes over what another tab, or a dialog of this one, has stored. */
  async handleStoredElsewhere(id: string): Promise<void> {
    const { entry } = this;
    if (entry.program?.id !== id) return;
    await this.#queue;
    const stored = await this.store.get(id).catch(() => undefined);
    const known = entry.program;
    // Edits that are not stored yet become a copy.
    if (this.isDirty || this.#saving.length > 0) return;
    if (!stored || this.entry !== entry || known.id !== id) return;
    if (stored.revision <= known.revision) return;
    entry.program = stored;
    const isReplaced = !areSame(stored.files, entry.files);
    entry.files = stored.files;
    this.#beforeEdits = undefined;
    if (isReplaced) this.hooks.onReplaced(entry);
    else this.hooks.onSaved(entry);
  }

  /** Makes a program of the entry before it is edited, e.g. to give it a name. */
  async keep(): Promise<Program> {
    const { entry } = this;
    await this.flush();
    if (!entry.program) {
      entry.program = this.#newProgram(entry);
      this.#enqueue(entry, entry.files);
      await this.#queue;
    }
    return entry.program;
  }

  /** Stores nothing more, because the user signs out, and waits for what is being stored. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const timer of [this.#pauseTimer, this.#deadline, this.#retryTimer]) clearTimeout(timer);
    this.#deadline = undefined;
    await inTime(this.#queue).catch(() => {});
  }

  /** Removes what could not be stored. */
  forget(): void {
    for (const key of this.keys().filter((key) => key.startsWith(UNSAVED))) {
      this.environment.lasting.removeItem(key);
    }
  }

  /** Stores the edits. Those that follow are not made in one go with them. */
  #handlePause(): void {
    clearTimeout(this.#pauseTimer);
    void this.flush();
    this.#beforeEdits = undefined;
  }

  #newProgram({ copyName, runtime, files, original }: Entry): Program {
    return {
      id: this.environment.hex(16),
      name: copyName,
      runtime,
      files,
      ...(original ? { original } : {}),
      changed: 0,
      revision: 0,
    };
  }

  /** Stores files of an entry after all that is being stored. */
  #enqueue(entry: Entry, files: Files, options: SaveOptions = {}): void {
    this.#saving.push(entry);
    this.#queue = this.#queue
      .then(() => (this.#isStopped ? undefined : this.#save(entry, files, options)))
      .finally(() => void this.#saving.splice(this.#saving.indexOf(entry), 1));
  }

  async #save(entry: Entry, files: Files, options: SaveOptions): Promise<void> {
    const slow = setTimeout(() => this.#putAside(entry.program as Program), SLOW_MS);
    // An earlier job has given the program its last revision.
    const program = { ...(entry.program as Program), files };
    try {
      const saved = await this.#saveOrCopy(program, options);
      // The program has newer files if the user has gone on writing; they are stored next.
      const { files: newer } = entry.program as Program;
      entry.program = { ...saved, files: newer };
      this.#failed.delete(entry);
      const { lasting } = this.environment;
      const wasAside = lasting.getItem(UNSAVED + program.id) !== null;
      lasting.removeItem(UNSAVED + program.id);
      // The newer files stay aside until they are stored, too.
      if (wasAside && !areSame(newer, files)) this.#putAside(entry.program);
      this.#reportSuccess();
      this.hooks.onSaved(entry);
    } catch (error) {
      if (this.#isStopped) return;
      this.#putAside(entry.program as Program);
      this.report(error);
      this.#failed.add(entry);
      this.#retryTimer ??= setTimeout(() => this.#retry(), RETRY_MS);
    } finally {
      clearTimeout(slow);
    }
  }

  #retry(): void {
    this.#retryTimer = undefined;
    for (const entry of this.#failed) {
      this.#enqueue(entry, (entry.program as Program).files);
    }
  }

  /** Stores a program. If another tab has changed it, the program becomes a copy. */
  async #saveOrCopy(program: Program, options: SaveOptions = {}): Promise<Program> {
    const names = program.revision === 0 ? await this.#names() : undefined;
    const name = names ? freeName(program.name, names) : program.name;
    const result = await this.store.save({ ...program, name }, options);
    if (result.kind === "saved") return result.program;
    const { stored } = result;
    if (areSame(stored.files, program.files)) return stored;
    const copy = {
      ...program,
      id: this.environment.hex(16),
      name: freeName(program.name, await this.#names()),
      revision: 0,
    };
    const copied = await this.store.save(copy);
    this.hooks.onCopied(copy, stored);
    return copied.kind === "saved" ? copied.program : copy;
  }

  async #names(): Promise<string[]> {
    return (await this.store.list()).map(({ name }) => name);
  }

  /** Puts a program where a later page finds it. */
  #putAside(program: Program): void {
    if (this.#isStopped) return;
    this.environment.lasting.setItem(UNSAVED + program.id, JSON.stringify(program));
  }

  #reportSuccess(): void {
    if (this.#failed.size === 0) this.report(undefined);
  }

  /** Tells of a problem with the browser's store, or with no error that there is none any more. */
  report(error: unknown): void {
    if (error === undefined && !this.#hasProblem) return;
    this.#hasProblem = error !== undefined;
    this.hooks.onProblem(error);
  }
}

/** The keys of `localStorage`; none if the browser refuses access to it. */
export function keysOf(storage: () => Storage): string[] {
  try {
    return Object.keys(storage());
  } catch {
    return [];
  }
}

/** The programs of earlier versions of this page, which kept one draft for each runtime. */
export function takeDrafts(keys: string[], lasting: Store): { runtime: string; code: string }[] {
  const prefix = "livecode-draft:";
  return keys
    .filter((key) => key.startsWith(prefix))
    .map((key) => ({ runtime: key.slice(prefix.length), code: lasting.getItem(key) ?? "" }));
}
