/** What a program shows: its output, drawings, pictures, tables and notes. */

import { type Message, textOf } from "../../client/index.js";
import type { Music } from "../../dom/music.js";
import { words } from "../../words/words.js";
import type { Canvas } from "../canvas.js";
import type { OutputPane } from "../pane/pane.js";
import { drawingsOf } from "../shapes.js";
import { createTable, tableCost } from "../table.js";

export interface DisplayHooks {
  /** Tells whether the page draws a `shape` message itself. */
  isDrawnByPage: (message: Message) => boolean;
  /** Called before the first drawing. */
  onFirstDrawing: () => void;
}

export class Display {
  /** Whether further notes of the program are not played. */
  isSilenced = false;

  constructor(
    private readonly pane: OutputPane,
    private readonly canvas: Canvas,
    private readonly music: Music,
    private readonly hooks: DisplayHooks,
  ) {}

  /** Shows a message. Returns whether it is one that is shown. Old notes are not played. */
  show(message: Message, isOld = false): boolean {
    const { output } = this.pane;
    switch (message.msgtype) {
      case "write":
        output.write(textOf(message), String(message.file));
        return true;
      case "echo":
        output.write(textOf(message), "typed");
        return true;
      case "draw":
        this.#draw([message]);
        return true;
      case "shape":
        if (!this.hooks.isDrawnByPage(message)) this.#draw(drawingsOf(message));
        return true;
      case "image":
        output.image(message.mimetype, message.data);
        return true;
      case "table":
        output.block(() => createTable(message), tableCost(message));
        return true;
      case "play":
        if (!isOld && !this.isSilenced) this.music.play(message);
        return true;
      case "gap":
        output.write(`${words.outputNotKept}\n`, "stderr");
        return true;
    }
    return false;
  }

  #draw(messages: Iterable<Message>): void {
    if (!this.canvas.isUsed) this.hooks.onFirstDrawing();
    for (const message of messages) this.canvas.add(message);
  }
}
