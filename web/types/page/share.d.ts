/**
 * The links of the page. A program, compressed, or the secret that opens a session is in the
 * fragment of the address, which browsers send to no server.
 */
import { type Files } from "./programs/files.js";
export interface Shared {
    runtime?: string;
    /** The code of a program that has one file. */
    code?: string;
    /** The files of a program that has several. */
    files?: Files;
    /** The id of a session to watch, in links of earlier versions. */
    session?: string;
    /** The secret that opens a session. */
    share?: string;
}
/** Compresses a text, and encodes the result in the URL-safe alphabet of base64. */
export declare function pack(text: string): Promise<string>;
/** The text that {@link pack} encoded. Throws if the input is damaged or the text is too long. */
export declare function unpack(packed: string): Promise<string>;
/** The fields of a link for these files. */
export declare function sharedOf(files: Files): Pick<Shared, "code" | "files">;
export declare function toFragment({ runtime, code, files, share }: Shared): Promise<string>;
/** The tag that shows a program in a page of another site, where `address` is that of the frame. */
export declare function frameTag(address: string, title: string): string;
/** The content of a link, or null if the fragment is not one of ours. Throws if it is damaged. */
export declare function fromFragment(fragment: string): Promise<Shared | null>;
