/** `<live-code>`: a program that is written, run and played with where it stands. */
import { type Session, type State } from "../client/index.js";
/** Without the empty first line and the common indentation that a page's source brings. */
export declare function dedent(text: string): string;
export declare class LiveCode extends HTMLElement {
    #private;
    connectedCallback(): void;
    disconnectedCallback(): void;
    /** The code as it stands. */
    get code(): string;
    get state(): State | undefined;
    /** The session that is shown. */
    get session(): Session | undefined;
    /** Shows another program, of one file; `original` is what Reset brings back. It can be undone. */
    load(runtime: string, code: string, original?: string): void;
    /** Shows a session that exists; one that is watched gets nothing from here. */
    follow(id: string, { watch }?: {
        watch?: boolean | undefined;
    }): void;
    /** Runs it as it stands; what ran before is ended. */
    run(): void;
    /** Ends the program. */
    stop(): void;
    /** Brings back the code that the page came with. */
    reset(): void;
}
