/** `<live-code>`: a program that is written, run and played with where it stands. */
import { type State } from "../client/index.js";
/** Without the empty first line and the common indentation that a page's source brings. */
export declare function dedent(text: string): string;
export declare class LiveCode extends HTMLElement {
    #private;
    connectedCallback(): void;
    disconnectedCallback(): void;
    /** The code as it stands. */
    get code(): string;
    get state(): State | undefined;
    /** Runs it as it stands; what ran before is ended. */
    run(): void;
    /** Ends the program. */
    stop(): void;
    /** Brings back the code that the page came with. */
    reset(): void;
}
