/**
 * Exponential backoff with jitter. The jitter spreads the pages that reconnect after a restart of
 * the server.
 */

const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 10_000;

export class Backoff {
  #attempts = 0;

  /** `random` returns a number from 0 up to, but not including, 1. */
  constructor(private readonly random: () => number) {}

  /**
   * The delay before the next attempt, in milliseconds. The upper bound doubles with each call, up
   * to `MAX_DELAY_MS`; the delay is between half of the bound and the bound.
   */
  nextDelayMs(): number {
    const boundMs = Math.min(FIRST_DELAY_MS * 2 ** this.#attempts++, MAX_DELAY_MS);
    return (boundMs / 2) * (1 + this.random());
  }

  /** Starts again with the shortest delay, after an attempt that succeeded. */
  reset(): void {
    this.#attempts = 0;
  }
}
