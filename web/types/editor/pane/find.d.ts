/**
 * Finds a text in the output, and marks all places where it is. This file is loaded with the first
 * run; what the editor has already is given to it.
 */
import type { Words } from "../../words/words.js";
import type { createElement } from "../create-element.js";
import type { adoptStyle } from "../style.js";
export declare class FindBar {
    #private;
    /** The element that is searched. */
    private readonly output;
    private readonly words;
    readonly element: HTMLElement;
    constructor(
    /** The element that is searched. */
    output: HTMLElement, words: Words, create: typeof createElement, adopt: typeof adoptStyle);
    /** Shows the bar, and moves the focus there. */
    open(): void;
    close(): void;
    /** Searches again soon, because the output has changed. */
    refresh(): void;
}
