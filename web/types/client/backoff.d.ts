/** Pauses between tries: growing, and spread so that not all pages come at once when a server is back. */
export declare class Backoff {
    #private;
    private readonly random;
    constructor(random: () => number);
    /** How long to wait now, in milliseconds: between half and the whole of what has grown. */
    next(): number;
    /** A try succeeded. */
    reset(): void;
}
