/**
 * The links of the page. A program, compressed, or the id of a session is in the fragment of the
 * address, which browsers send to no server.
 */
export interface Shared {
    runtime?: string;
    code?: string;
    /** The id of a session to watch. */
    session?: string;
}
/** Compresses a text, and encodes the result in the URL-safe alphabet of base64. */
export declare function pack(text: string): Promise<string>;
/** The text that {@link pack} encoded. Throws if the input is damaged or the text is too long. */
export declare function unpack(packed: string): Promise<string>;
export declare function toFragment({ runtime, code, session }: Shared): Promise<string>;
/** The content of a link, or null if the fragment is not one of ours. Throws if it is damaged. */
export declare function fromFragment(fragment: string): Promise<Shared | null>;
