/** The page's data in the browser's storage: the state of the tab, and the programs of sessions. */

import { browser, type Store } from "../client/environment.js";
import { type Files, filesOf } from "./programs/files.js";

/** The number of sessions whose programs are stored, and their length in all, in characters. */
const MAX_PROGRAMS = 100;
const MAX_PROGRAMS_LENGTH = 2_000_000;
/** The key under which the program of a session is stored begins so. */
const PROGRAM_PREFIX = "livecode-program:";
/** Where earlier versions stored the programs of all sessions. */
const OLD_PROGRAMS = "livecode-programs";

/** The key of a text that is another one after a user has signed out. */
const EPOCH = "livecode-epoch";

/** A program, as a session runs it. */
export interface SessionProgram {
  runtime: string;
  files: Files;
}

/** The state of a tab: its program, and the session that it shows. */
export interface TabState extends SessionProgram {
  /** The id of the user's program, if it is one. */
  program?: string | undefined;
  /** The revision of that program that the tab knew. */
  revision?: number;
  /** The title of the example, if it is one. */
  title?: string;
  /** The name that a copy of the program gets. */
  copyName?: string;
  /** The link by which the program came, while the address has it. */
  link?: string | undefined;
  /** The id of the session. */
  session?: string;
  /** Whether the session is only watched. */
  isWatching?: boolean;
  /** The secret of the share by which another user's session is shown. */
  share?: string;
  /** The epoch in which the state was stored, which must not be shown to the next user. */
  epoch?: string;
}

function readJson<T>(store: Store, key: string): T | undefined {
  try {
    return (JSON.parse(store.getItem(key) ?? "null") as T | null) ?? undefined;
  } catch {
    return undefined; // The value is not JSON, so this page did not write it.
  }
}

/** Earlier versions stored one text in place of files. */
type Old<T> = T & { code?: string };

function withFiles<T extends SessionProgram>(program: Old<T> | undefined): T | undefined {
  if (!program) return undefined;
  return { ...program, files: program.files ?? filesOf(program.code ?? "") };
}

export class PageStorage {
  readonly #tab: Store;
  readonly #lasting: Store;
  readonly #epoch: string;

  constructor(
    /** The keys of `localStorage`. */
    private readonly keys: () => string[],
    { tab, lasting } = browser(),
  ) {
    this.#tab = tab;
    this.#lasting = lasting;
    this.#epoch = lasting.getItem(EPOCH) ?? "";
  }

  /** The state of this tab, which is kept across reloads. */
  get tab(): TabState | undefined {
    const tab = withFiles(readJson<Old<TabState>>(this.#tab, "livecode-page"));
    return (tab?.epoch ?? "") === this.#epoch ? tab : undefined;
  }

  set tab(tab: TabState) {
    const epoch = this.#epoch;
    this.#tab.setItem("livecode-page", JSON.stringify({ ...tab, ...(epoch ? { epoch } : {}) }));
  }

  /** The program of a session that this browser started. */
  program(session: string): SessionProgram | undefined {
    const program = readJson<SessionProgram>(this.#lasting, PROGRAM_PREFIX + session);
    if (program) return program;
    const old = readJson<[string, Old<SessionProgram>][]>(this.#lasting, OLD_PROGRAMS);
    return withFiles((Array.isArray(old) ? old : []).find(([id]) => id === session)?.[1]);
  }

  /** Stores the program of a session. Each has a key of its own: other tabs store theirs, too. */
  storeProgram(session: string, program: SessionProgram): void {
    this.#lasting.setItem(PROGRAM_PREFIX + session, JSON.stringify({ at: Date.now(), ...program }));
    const all = this.#programKeys.map((key) => {
      const at = readJson<{ at?: number }>(this.#lasting, key)?.at ?? 0;
      return { key, at, length: this.#lasting.getItem(key)?.length ?? 0 };
    });
    // The newest are kept.
    all.sort((one, other) => other.at - one.at);
    let length = 0;
    for (const [index, one] of all.entries()) {
      length += one.length;
      const isKept = index === 0 || (index < MAX_PROGRAMS && length <= MAX_PROGRAMS_LENGTH);
      if (!isKept) this.#lasting.removeItem(one.key);
    }
  }

  /** Removes everything that a user has left here. */
  forget(): void {
    for (const key of this.#programKeys) this.#lasting.removeItem(key);
    this.#lasting.removeItem(OLD_PROGRAMS);
    this.forgetTab();
  }

  /** Removes the state of this tab. */
  forgetTab(): void {
    this.#tab.removeItem("livecode-page");
  }

  /**
   * Begins another epoch, because the user signs out: a tab that is frozen now, or opened again, must
   * not show the next user what it had.
   */
  startEpoch(epoch: string): void {
    this.#lasting.setItem(EPOCH, epoch);
  }

  get #programKeys(): string[] {
    return this.keys().filter((key) => key.startsWith(PROGRAM_PREFIX));
  }
}
