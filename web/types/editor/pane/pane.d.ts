/** The output with all that the user can do to it: copy, save, clear, search, and look closer. */
import { Output } from "../../dom/output.js";
import { type FindLinks } from "../../terminal/view.js";
import { Menu } from "./menu.js";
export declare class OutputPane {
    #private;
    private readonly frame;
    /** The element with the output. */
    readonly element: HTMLDivElement;
    /** The place of the bar for the search, until a user searches. */
    readonly findPlace: HTMLDivElement;
    readonly menu: Menu;
    /** Tells what was done. */
    readonly note: HTMLSpanElement;
    readonly output: Output;
    /** `frame` is the part of the editor that has the type's size, and that can fill the screen. */
    constructor(frame: HTMLElement);
    /** Removes everything, before another program writes here, in whose lines links are found. */
    clear(findLinks: FindLinks): void;
}
