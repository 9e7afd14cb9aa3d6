/** The page's data in the browser's storage: drafts, and the programs of sessions. */

import { browser, type Store } from "../client/environment.js";

/** The number of sessions whose programs are stored. */
const MAX_PROGRAMS = 100;

export interface StoredProgram {
  runtime: string;
  code: string;
}

/** The state of a tab: its program, and the session that it shows. */
export interface TabState extends StoredProgram {
  /** The id of the session. */
  session?: string;
  /** Whether the session is only watched. */
  isWatching?: boolean;
  /** The secret of the share by which another user's session is shown. */
  share?: string;
}

function readJson<T>(store: Store, key: string): T | undefined {
  try {
    return (JSON.parse(store.getItem(key) ?? "null") as T | null) ?? undefined;
  } catch {
    return undefined; // The value is not JSON, so this page did not write it.
  }
}

export class PageStorage {
  readonly #tab: Store;
  readonly #lasting: Store;

  constructor({ tab, lasting } = browser()) {
    this.#tab = tab;
    this.#lasting = lasting;
  }

  /** The state of this tab, which is kept across reloads. */
  get tab(): TabState | undefined {
    return readJson(this.#tab, "livecode-page");
  }

  set tab(tab: TabState | undefined) {
    this.#tab.setItem("livecode-page", JSON.stringify(tab));
  }

  /** The last code for a runtime that the user has edited. */
  draft(runtime: string): string | undefined {
    return this.#lasting.getItem(`livecode-draft:${runtime}`) ?? undefined;
  }

  storeDraft({ runtime, code }: StoredProgram): void {
    this.#lasting.setItem(`livecode-draft:${runtime}`, code);
  }

  /** The program of a session that this browser started. */
  program(session: string): StoredProgram | undefined {
    return this.#programs.find(([id]) => id === session)?.[1];
  }

  storeProgram(session: string, program: StoredProgram): void {
    const others = this.#programs.filter(([id]) => id !== session);
    const programs = [...others, [session, program]].slice(-MAX_PROGRAMS);
    this.#lasting.setItem("livecode-programs", JSON.stringify(programs));
  }

  /** Removes everything that a user has left here. */
  forget(runtimes: string[]): void {
    for (const runtime of runtimes) this.#lasting.removeItem(`livecode-draft:${runtime}`);
    this.#lasting.removeItem("livecode-programs");
    this.#tab.removeItem("livecode-page");
  }

  /** The stored programs by session id, the oldest first. */
  get #programs(): [string, StoredProgram][] {
    const programs = readJson<[string, StoredProgram][]>(this.#lasting, "livecode-programs");
    return Array.isArray(programs) ? programs : [];
  }
}
