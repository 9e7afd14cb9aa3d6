/** Draws `draw` messages on a canvas: `shape` and `args` as in v0.1, with the `style` and `transform` that v0.2 added. */
import type { Message } from "../client/index.js";
export declare function clear(canvas: HTMLCanvasElement): void;
/** Draws one message; `image` is the picture of one that shows one. What cannot be drawn is passed over. */
export declare function draw(canvas: HTMLCanvasElement, message: Message, image?: HTMLImageElement): void;
