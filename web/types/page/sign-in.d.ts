/** Signing in at a server that knows its users by tokens. */
import type { Store } from "../client/environment.js";
export declare class SignIn {
    #private;
    private readonly base;
    private readonly store;
    /** Called when the user has signed out in another tab. The page begins anew afterwards. */
    onSignedOut: () => Promise<void>;
    constructor(base: string, store: Store);
    /** The token with which the user signed in. */
    get token(): string | undefined;
    /** The headers of a request that has the user's token, if there is one. */
    static headers(token: string | undefined): Record<string, string>;
    /**
     * The user's token. If there is none, or if it is the one that the server has refused, the form
     * is shown, and the promise waits until the user has signed in.
     */
    readonly source: (refused?: string) => Promise<string>;
    /** Hides the form. Whoever waited for the token goes on without one. */
    dismiss(): void;
    /** Forgets the token. */
    forget(): void;
}
