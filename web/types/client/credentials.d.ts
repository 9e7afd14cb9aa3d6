/** The token that identifies the caller, and how the caller gets a new one. */
import { LiveCodeError } from "./messages.js";
/**
 * A token, or a function that fetches one. The function is called before the first request, and
 * again when the server has refused a token: then with that token.
 */
export type TokenSource = string | ((refused?: string) => string | Promise<string>);
/** Why no token could be fetched. `isTemporary` tells whether a later try may succeed. */
export declare class TokenError extends LiveCodeError {
    readonly isTemporary: boolean;
    constructor(cause: unknown);
}
export declare class Credentials {
    #private;
    private readonly source;
    private constructor();
    static of(source: TokenSource): Credentials;
    /** The token, if it is known by now. */
    get token(): string | undefined;
    /**
     * A token in place of `refused`, or undefined if the caller has no other one. All requests that
     * wait for a token share one call of the function. Throws a {@link TokenError}.
     */
    renew(refused?: string): Promise<string | undefined>;
}
