/**
 * Turns `shape` messages of protocol v0.1 into `draw` messages. A shape has a `tag` and attributes
 * as in SVG, and a group has `children`. The origin is the middle of the canvas.
 */
import type { Message } from "../client/index.js";
/** The `draw` messages of one `shape` message. */
export declare function drawingsOf(message: Message): Message[];
