/** What a link says after its `#`, which no server is told: a program, packed, or a session. */
export interface Shared {
    runtime?: string;
    code?: string;
    /** A session to watch. */
    session?: string;
}
/** A text as few letters that an address can hold. */
export declare function pack(text: string): Promise<string>;
/** The text again; fails on what is none, and on what would become too long. */
export declare function unpack(packed: string): Promise<string>;
export declare function toFragment({ runtime, code, session }: Shared): Promise<string>;
/** What a link says; null where it says nothing. Fails where it is broken. */
export declare function fromFragment(fragment: string): Promise<Shared | null>;
