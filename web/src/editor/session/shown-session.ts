/** A session as an editor shows it: who may do what with it, and what it does now. */

import type { Rights, Session, SessionDocument } from "../../client/index.js";
import { words } from "../../words/words.js";
import type { SessionOptions } from "./follow-options.js";
import { type Phase, phaseOf, PhaseWatch, starting } from "./phase.js";

/**
 * The time after attaching to an existing session in which `play` messages are not played, in
 * milliseconds. These messages are from the session's past.
 */
const REPLAY_MS = 1000;

export class ShownSession {
  /** Undefined until the session is followed, and if there is none to follow. */
  session: Session | undefined;
  /** What the session does before its program runs; undefined while the program runs. */
  phase: Phase | undefined = starting();
  /** Whether the program waits for input, as far as the server tells that. */
  isWaiting = false;
  /** Whether the program may read input, as far as its text and its waits tell. */
  mayRead = true;
  /** Whether no more input can be sent. */
  hasAllInput: boolean;
  /** Whether the code was edited since the session is shown. */
  isEdited = false;
  /** Why the session could not be followed to its end, as a key of the words. */
  failure: "notRun" | "notShared" = "notRun";
  /** The texts of the program that the session runs, if they are known. */
  readonly texts: string[] | undefined;
  /** When the editor began to follow the session. */
  readonly #followedAt = performance.now();
  /** When the program was started, on the page's clock, as far as that is known. */
  #startedAt: number | undefined;
  #phaseWatch: PhaseWatch | undefined;

  constructor(readonly options: SessionOptions = {}) {
    this.hasAllInput = options.hasAllInput ?? false;
    this.texts = options.texts && [...options.texts];
    if (options.isNew) this.#startedAt = this.#followedAt;
  }

  /** What the user may do with the session. */
  get rights(): Rights | "own" {
    if (this.options.isShared) return this.session?.rights ?? "watch";
    return this.options.isWatching ? "watch" : "own";
  }

  /** Whether the session has ended, and its messages are still arriving. */
  get isPast(): boolean {
    return this.phase?.kind === "loading";
  }

  /** Whether the session has not ended. */
  get isRunning(): boolean {
    return this.session !== undefined && this.session.state !== "ended" && !this.isPast;
  }

  /** Whether the user can send input that may matter. */
  get takesInput(): boolean {
    return !this.phase && this.mayRead && !this.hasAllInput && this.rights !== "watch";
  }

  /** Whether messages from before the editor followed the session may still be arriving. */
  get isReplaying(): boolean {
    return !this.options.isNew && performance.now() - this.#followedAt <= REPLAY_MS;
  }

  /** The program's running time, in seconds, as far as it is known. */
  get elapsedS(): number | undefined {
    if (this.isPast) return Number(this.session?.document?.elapsed);
    return this.#startedAt && (performance.now() - this.#startedAt) / 1000;
  }

  /** What a live session does, in words. */
  get text(): string {
    const text = this.phase?.text ?? (this.isWaiting ? words.waitingForInput : words.running);
    const told = { own: text, join: words.youHaveJoined(text), watch: words.youAreWatching(text) };
    return this.isPast ? text : told[this.rights];
  }

  /**
   * Finds out the phase of a session that is live: its document tells it, or the server, which
   * `find` asks again until the program runs. Calls `show` with each phase.
   */
  watchPhase(
    find: (document: SessionDocument) => Promise<SessionDocument | undefined>,
    show: (phase: Phase | undefined) => void,
  ): void {
    const { session, options } = this;
    const document = session?.document;
    if (this.phase?.kind === "starting") {
      // A server of v0.1 has no documents.
      const phase = document && phaseOf(document);
      // Users of a share get no later document, and would never be told that the phase is over.
      this.phase = options.isShared && phase?.kind !== "loading" ? undefined : phase;
      const elapsedMs = Number(document?.elapsed) * 1000;
      if (!options.isNew && document) this.#startedAt = performance.now() - elapsedMs;
    }
    show(this.phase);
    if (!document || !this.phase || this.isPast) return;
    this.stopWatching();
    const showLive = (phase?: Phase) => session?.state === "live" && show(phase);
    this.#phaseWatch = new PhaseWatch(() => find(document), showLive);
  }

  /** Asks for no further phase. */
  stopWatching(): void {
    this.#phaseWatch?.stop();
  }
}
