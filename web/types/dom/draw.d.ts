/**
 * Draws `draw` messages on a canvas: `shape` and `args` as in v0.1, with the `style` and
 * `transform` that v0.2 added.
 */
import type { Message } from "../client/index.js";
export declare function clear(canvas: HTMLCanvasElement): void;
/**
 * Draws one message. `image` is the loaded picture of a message with the shape `image`. A message
 * that cannot be drawn is ignored.
 */
export declare function draw(canvas: HTMLCanvasElement, message: Message, image?: HTMLImageElement): void;
