/** What a program shows: its output, drawings, pictures, tables and notes. */
import { type Message } from "../../client/index.js";
import type { Music } from "../../dom/music.js";
import type { Canvas } from "../canvas.js";
import type { OutputPane } from "../pane/pane.js";
export interface DisplayHooks {
    /** Tells whether the page draws a `shape` message itself. */
    isDrawnByPage: (message: Message) => boolean;
    /** Called before the first drawing. */
    onFirstDrawing: () => void;
}
export declare class Display {
    #private;
    private readonly pane;
    private readonly canvas;
    private readonly music;
    private readonly hooks;
    /** Whether further notes of the program are not played. */
    isSilenced: boolean;
    constructor(pane: OutputPane, canvas: Canvas, music: Music, hooks: DisplayHooks);
    /** Shows a message. Returns whether it is one that is shown. Old notes are not played. */
    show(message: Message, isOld?: boolean): boolean;
}
