/** A canvas of up to ten layers, drawn at the rate of the display however fast messages come. */

import type { Message } from "../client/index.js";
import { draw } from "../page/draw.js";

const LAYERS = 10;
const SIDE = 400;
/** How many messages wait for the next picture at most; of a program that is faster, the oldest are drawn at once. */
const WAITING_MAX = 20_000;
/** How many are drawn at a time, and for how long, where the program does not say what belongs together. */
const DRAWN_MAX = 2000;
const DRAW_MS = 10;
const SOURCE = /^data:image\/(png|jpeg|gif|webp|svg\+xml)[;,]/;
const IMAGES_MAX = 200;

export type Send = (name: string, data: unknown, options?: { coalesce?: boolean }) => void;

export class Canvas {
  #layers: HTMLCanvasElement[] = [];
  #images = new Map<string, HTMLImageElement>();
  #waiting: Message[] = [];
  /** Whether the program says when a picture is complete. */
  #hasFrames = false;
  #isPlanned = false;
  #isDrawing = false;

  constructor(
    private readonly element: HTMLElement,
    private readonly send: Send,
  ) {
    // A finger or a pen counts as the mouse.
    const mouse = { pointermove: "mousemove", pointerdown: "mousedown", pointerup: "mouseup", click: "click" } as const;
    for (const name of Object.keys(mouse) as (keyof typeof mouse)[]) {
      element.addEventListener(name, (event) => this.#mouse(mouse[name], event));
    }
    for (const name of ["keydown", "keyup"] as const) {
      element.addEventListener(name, (event) => {
        // Tab leaves, and what goes with Control or Command is the browser's.
        if (event.key === "Tab" || event.ctrlKey || event.metaKey) return;
        event.preventDefault();
        send(name, { key: event.key });
      });
    }
    element.addEventListener("blur", () => send("blur", null));
  }

  get isUsed(): boolean {
    return this.#layers.length > 0;
  }

  /** Takes a `draw` message. */
  take(message: Message): void {
    if (!this.isUsed) this.#layer(0);
    this.element.hidden = false;
    if (message.shape === "frame") this.#hasFrames = true;
    this.#waiting.push(message);
    if (this.#waiting.length > WAITING_MAX) void this.#draw();
    else this.#plan();
  }

  /** As it is before a program. */
  clear(): void {
    this.#waiting = [];
    this.#hasFrames = false;
    this.#images.clear();
    this.#layers = [];
    this.element.textContent = "";
    this.element.hidden = true;
  }

  /** Shows what waits, complete or not: the program has ended. */
  finish(): void {
    this.#hasFrames = false;
    this.#plan();
  }

  #plan(): void {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    const flush = () => {
      if (!this.#isPlanned) return;
      this.#isPlanned = false;
      void this.#draw();
    };
    requestAnimationFrame(flush);
    setTimeout(flush, 200); // no frames in the background
  }

  async #draw(): Promise<void> {
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    try {
      const complete = this.#hasFrames ? this.#waiting.findLastIndex(({ shape }) => shape === "frame") + 1 : this.#waiting.length;
      const messages = this.#waiting.splice(0, this.#hasFrames ? complete : Math.min(complete, DRAWN_MAX));
      const began = performance.now();
      for (const [at, message] of messages.entries()) {
        if (!this.#hasFrames && performance.now() - began > DRAW_MS) {
          this.#waiting = messages.slice(at).concat(this.#waiting);
          break;
        }
        if (message.shape === "size") this.#layers.forEach((layer) => draw(layer, message));
        else if (message.shape === "image") {
          // Those that follow may cover it: they wait until it is there.
          const image = await this.#image(message);
          if (image) draw(this.#layer(message.layer), message, image);
        } else draw(this.#layer(message.layer), message);
      }
    } finally {
      this.#isDrawing = false;
    }
    if (this.#waiting.length > 0 && !this.#hasFrames) this.#plan();
  }

  #layer(number: unknown): HTMLCanvasElement {
    const index = Math.min(Math.max(Math.trunc(Number(number ?? 0)) || 0, 0), LAYERS - 1);
    while (this.#layers.length <= index) {
      const layer = document.createElement("canvas");
      layer.width = this.#layers[0]?.width ?? SIDE;
      layer.height = this.#layers[0]?.height ?? SIDE;
      layer.setAttribute("aria-hidden", "true");
      this.#layers.push(layer);
      this.element.append(layer);
    }
    return this.#layers[index] as HTMLCanvasElement;
  }

  async #image({ image: name, src }: Message): Promise<HTMLImageElement | undefined> {
    const key = String(name ?? src);
    const known = this.#images.get(key);
    if (known) return known;
    // Nothing is loaded from anywhere: a picture comes with its message.
    if (typeof src !== "string" || !SOURCE.test(src) || this.#images.size >= IMAGES_MAX) return undefined;
    const image = new Image();
    image.src = src;
    try {
      await image.decode();
    } catch {
      return undefined;
    }
    this.#images.set(key, image);
    return image;
  }

  #mouse(name: "mousemove" | "mousedown" | "mouseup" | "click", event: MouseEvent): void {
    const layer = this.#layers[0];
    if (!layer) return;
    const place = layer.getBoundingClientRect();
    const x = Math.round(((event.clientX - place.left) / place.width) * layer.width);
    const y = Math.round(((event.clientY - place.top) / place.height) * layer.height);
    if (name === "mousemove") this.send(name, { x, y }, { coalesce: true });
    else this.send(name, { x, y, button: event.button });
    if (name !== "mousedown") return;
    this.element.focus();
    // What is dragged out of the canvas is heard of until it is let go.
    if (event instanceof PointerEvent && event.isTrusted) this.element.setPointerCapture(event.pointerId);
  }
}
