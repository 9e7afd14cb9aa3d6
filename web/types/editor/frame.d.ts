/** The elements of an editor. */
import { OutputPane } from "./pane/pane.js";
/** What the buttons do. */
export interface FrameActions {
    run: () => void;
    stop: () => void;
    reset: () => void;
    replay: () => Promise<void>;
}
/** The parts of the bar. */
export type Bar = Record<keyof FrameActions, HTMLButtonElement> & {
    status: HTMLElement;
};
/** Creates the buttons of the bar, and the place that tells the state of the program. */
export declare function createBar(actions: FrameActions): Bar;
export interface Frame {
    element: HTMLElement;
    pane: OutputPane;
    /** The place of the canvas. */
    canvas: HTMLElement;
}
/** Creates the frame with all parts. `ends` stand below the output. */
export declare function createFrame({ run, stop, reset, replay, status }: Bar, tabs: HTMLElement, code: HTMLElement, ends: HTMLElement[]): Frame;
