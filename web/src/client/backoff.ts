/** Pauses between tries: growing, and spread so that not all pages come at once when a server is back. */

const FIRST_MS = 100;
const LONGEST_MS = 10_000;

export class Backoff {
  #tries = 0;

  constructor(private readonly random: () => number) {}

  /** How long to wait now, in milliseconds: between half and the whole of what has grown. */
  next(): number {
    const grown = Math.min(FIRST_MS * 2 ** this.#tries++, LONGEST_MS);
    return (grown / 2) * (1 + this.random());
  }

  /** A try succeeded. */
  reset(): void {
    this.#tries = 0;
  }
}
