/**
 * Exponential backoff with jitter. The jitter spreads the pages that reconnect after a restart of
 * the server.
 */
export declare class Backoff {
    #private;
    private readonly random;
    /** `random` returns a number from 0 up to, but not including, 1. */
    constructor(random: () => number);
    /**
     * The delay before the next attempt, in milliseconds. The upper bound doubles with each call, up
     * to `MAX_DELAY_MS`; the delay is between half of the bound and the bound.
     */
    nextDelayMs(): number;
    /** Starts again with the shortest delay, after an attempt that succeeded. */
    reset(): void;
}
