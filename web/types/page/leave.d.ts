/** Sessions that nobody can come back to end with their page, as programs did with v0.1's connection. */
import type { Session } from "../client/index.js";
/** Has a session removed when it has ended, or when its page goes away. */
export declare function endWithPage(session: Session): void;
