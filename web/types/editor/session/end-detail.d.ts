/** How a program has ended, in the server's words, for its author. */
import type { Message, SessionDocument } from "../../client/index.js";
export declare class EndDetail {
    #private;
    /** The place of the words, which is empty while there is nothing to tell. */
    readonly element: HTMLParagraphElement;
    clear(): void;
    /**
     * Shows how the program has ended, if a user may wonder. `document` is the session's; if it is
     * from before the end, `find` requests it again, where the user may do that.
     */
    show(exit: Message, document: SessionDocument | undefined, find?: (document: SessionDocument) => Promise<SessionDocument | undefined>): Promise<void>;
}
