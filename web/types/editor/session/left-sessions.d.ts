/** The sessions whose programs run on, although they are not shown any more. */
import { type Session, type TokenSource } from "../../client/index.js";
export declare class LeftSessions {
    #private;
    /** Notes that a session is left. One that has no id yet is ended, since nothing leads back to it. */
    add(session: Session): void;
    /** Forgets a session, because it is shown again. */
    take(id: string): void;
    /** Ends the programs of all these sessions. */
    end(options: {
        server: string;
        token?: TokenSource;
    }): void;
}
