/** What the browser remembers for the page: what is being written, and what each session ran. */

import { browser, type Store } from "../../client/environment.js";

/** How many programs are remembered. */
const PROGRAMS_MAX = 100;

export interface Written {
  runtime: string;
  code: string;
}

/** How the tab stands. */
export interface Tab extends Written {
  session?: string;
  isWatching?: boolean;
}

function read<T>(store: Store, key: string): T | undefined {
  try {
    return (JSON.parse(store.getItem(key) ?? "null") as T | null) ?? undefined;
  } catch {
    return undefined; // not ours
  }
}

export class Memory {
  readonly #tab: Store;
  readonly #lasting: Store;

  constructor({ tab, lasting } = browser()) {
    this.#tab = tab;
    this.#lasting = lasting;
  }

  /** Over a reload of the tab. */
  get tab(): Tab | undefined {
    return read(this.#tab, "livecode-page");
  }

  set tab(tab: Tab | undefined) {
    this.#tab.setItem("livecode-page", JSON.stringify(tab));
  }

  /** What was last written for a runtime, and is no example. */
  draft(runtime: string): string | undefined {
    return this.#lasting.getItem(`livecode-draft:${runtime}`) ?? undefined;
  }

  keepDraft({ runtime, code }: Written): void {
    this.#lasting.setItem(`livecode-draft:${runtime}`, code);
  }

  /** What a session ran, where it was started here. */
  program(session: string): Written | undefined {
    return this.#programs.find(([id]) => id === session)?.[1];
  }

  keepProgram(session: string, written: Written): void {
    const others = this.#programs.filter(([id]) => id !== session);
    this.#lasting.setItem("livecode-programs", JSON.stringify([...others, [session, written]].slice(-PROGRAMS_MAX)));
  }

  get #programs(): [string, Written][] {
    const programs = read<[string, Written][]>(this.#lasting, "livecode-programs");
    return Array.isArray(programs) ? programs : [];
  }
}
