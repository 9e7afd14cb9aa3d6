/**
 * Ends sessions together with their page, if no later page can attach to them again. Programs
 * ended in the same way with the connection of v0.1.
 */
import type { Session } from "../client/index.js";
/** Removes a session when it has ended, or when its page is closed or left. */
export declare function endWithPage(session: Session): void;
