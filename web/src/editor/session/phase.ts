/** What a session does before its program runs: it starts, waits for its turn, or is compiled. */

import type { Message, SessionDocument } from "../../client/index.js";
import { words } from "../../words/words.js";

export interface Phase {
  /**
   * Nothing else is known yet; the session waits for its turn; its program is compiled; or the
   * session has ended, and its messages arrive.
   */
  kind: "starting" | "waiting" | "compiling" | "loading";
  /** The phase in words. */
  text: string;
}

export const starting = (): Phase => ({ kind: "starting", text: words.starting });

/** The runtimes that compile a program before they run it. */
const COMPILING = new Set(
  "assembly c cpp csharp fortran go haskell java kotlin ocaml pascal rust typescript".split(" "),
);
/** The delays before the first requests for the document, and between all further ones. */
const DELAYS_MS = [120, 240, 480];
const LAST_DELAY_MS = 1000;

/** The phase of a session; undefined once its program runs. */
export function phaseOf(document: SessionDocument): Phase | undefined {
  const { state, compiled, queue_position: position } = document;
  if (state === "ended") return { kind: "loading", text: words.loading };
  if (state === "queued") {
    if (position === undefined) return starting();
    return { kind: "waiting", text: words.waitingForTurn(String(position)) };
  }
  const runtime = String(document.runtime).replace(/@.*$/, "");
  const isCompiling = COMPILING.has(runtime) && compiled === undefined;
  return isCompiling ? { kind: "compiling", text: words.compiling } : undefined;
}

/**
 * Whether a message can only come from the program that runs. A compiler writes to standard error,
 * and a user may type early.
 */
export const isOfProgram = ({ msgtype, file, stage }: Message): boolean =>
  file !== "stderr" && stage === undefined && !/^(exitstatus|echo|diagnostic)$/.test(msgtype);

/** Asks for the document of a session again and again, until its program runs. */
export class PhaseWatch {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isStopped = false;

  constructor(
    /** Requests the document; the answer is undefined if the server gives none now. */
    private readonly find: () => Promise<SessionDocument | undefined>,
    private readonly onPhase: (phase: Phase | undefined) => void,
  ) {
    this.#scheduleRequest(0);
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  #scheduleRequest(count: number): void {
    this.#timer = setTimeout(() => void this.#request(count), DELAYS_MS[count] ?? LAST_DELAY_MS);
  }

  async #request(count: number): Promise<void> {
    const document = await this.find();
    if (this.#isStopped) return;
    if (document) {
      const phase = phaseOf(document);
      this.onPhase(phase);
      // The messages of a session that has ended arrive by its stream, without a request.
      if (phase === undefined || phase.kind === "loading") return;
    }
    this.#scheduleRequest(count + 1);
  }
}
