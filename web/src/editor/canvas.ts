/**
 * A canvas of up to ten layers. It is drawn at the display's frame rate, however fast messages
 * arrive.
 */

import type { Message } from "../client/index.js";
import { draw } from "../dom/draw.js";

const MAX_LAYERS = 10;
/** The width and height of a canvas that the program gives no size, in pixels. */
const DEFAULT_SIDE = 400;
/** Messages that may wait for the next frame. Further messages are drawn at once. */
const MAX_PENDING = 20_000;
/** The messages, and the time in milliseconds, for one frame of a program without `frame`. */
const MAX_DRAWN_PER_FRAME = 2000;
const FRAME_BUDGET_MS = 10;
/** A picture must be part of its message, so that the page loads nothing over the network. */
const IMAGE_SOURCE = /^data:image\/(png|jpeg|gif|webp|svg\+xml)[;,]/;
const MAX_IMAGES = 200;

/** The mouse event that is sent to the program for each pointer event of touch, pen or mouse. */
const MOUSE_EVENTS = {
  pointermove: "mousemove",
  pointerdown: "mousedown",
  pointerup: "mouseup",
  click: "click",
} as const;

type MouseEventName = (typeof MOUSE_EVENTS)[keyof typeof MOUSE_EVENTS];

/** Sends an event to the program. */
export type SendEvent = (name: string, data: unknown, options?: { coalesce?: boolean }) => void;

export class Canvas {
  #layers: HTMLCanvasElement[] = [];
  #images = new Map<string, HTMLImageElement>();
  /** The messages that are not drawn yet. */
  #pending: Message[] = [];
  /** Whether the program marks the end of each picture with `frame`. */
  #hasFrames = false;
  #isDrawScheduled = false;
  #isDrawing = false;

  constructor(
    private readonly element: HTMLElement,
    private readonly sendEvent: SendEvent,
  ) {
    for (const name of Object.keys(MOUSE_EVENTS) as (keyof typeof MOUSE_EVENTS)[]) {
      element.addEventListener(name, (event) => this.#handleMouse(MOUSE_EVENTS[name], event));
    }
    for (const name of ["keydown", "keyup"] as const) {
      element.addEventListener(name, (event) => {
        // Tab moves the focus, and shortcuts with Control or Command belong to the browser.
        if (event.key === "Tab" || event.ctrlKey || event.metaKey) return;
        event.preventDefault();
        sendEvent(name, { key: event.key });
      });
    }
    element.addEventListener("blur", () => sendEvent("blur", null));
  }

  /** Whether a `draw` message has arrived since the last `clear`. */
  get isUsed(): boolean {
    return this.#layers.length > 0;
  }

  /** Adds a `draw` message, which is drawn with a frame of the display. */
  add(message: Message): void {
    if (!this.isUsed) this.#layer(0);
    this.element.hidden = false;
    if (message.shape === "frame") this.#hasFrames = true;
    this.#pending.push(message);
    if (this.#pending.length > MAX_PENDING) void this.#drawPending();
    else this.#scheduleDraw();
  }

  /** Removes everything, before another program uses the canvas. */
  clear(): void {
    this.#pending = [];
    this.#hasFrames = false;
    this.#images.clear();
    this.#layers = [];
    this.element.textContent = "";
    this.element.hidden = true;
  }

  /** Draws the pending messages even if no `frame` follows, because the program has ended. */
  finish(): void {
    this.#hasFrames = false;
    this.#scheduleDraw();
  }

  #scheduleDraw(): void {
    if (this.#isDrawScheduled) return;
    this.#isDrawScheduled = true;
    const drawOnce = () => {
      if (!this.#isDrawScheduled) return;
      this.#isDrawScheduled = false;
      void this.#drawPending();
    };
    requestAnimationFrame(drawOnce);
    // The browser produces no frames for a page in the background.
    setTimeout(drawOnce, 200);
  }

  async #drawPending(): Promise<void> {
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    try {
      const count = this.#hasFrames
        ? this.#pending.findLastIndex(({ shape }) => shape === "frame") + 1
        : Math.min(this.#pending.length, MAX_DRAWN_PER_FRAME);
      const messages = this.#pending.splice(0, count);
      const began = performance.now();
      for (const [at, message] of messages.entries()) {
        if (!this.#hasFrames && performance.now() - began > FRAME_BUDGET_MS) {
          this.#pending = messages.slice(at).concat(this.#pending);
          break;
        }
        if (message.shape === "size") this.#layers.forEach((layer) => draw(layer, message));
        else if (message.shape === "image") {
          // The following messages may paint over the picture, so they wait until it is loaded.
          const image = await this.#loadImage(message);
          if (image) draw(this.#layer(message.layer), message, image);
        } else draw(this.#layer(message.layer), message);
      }
    } finally {
      this.#isDrawing = false;
    }
    if (this.#pending.length > 0 && !this.#hasFrames) this.#scheduleDraw();
  }

  /** The layer with this number, which is clamped to the allowed range. Creates missing layers. */
  #layer(number: unknown): HTMLCanvasElement {
    const requested = Math.trunc(Number(number ?? 0)) || 0;
    const index = Math.min(Math.max(requested, 0), MAX_LAYERS - 1);
    while (this.#layers.length <= index) {
      const layer = document.createElement("canvas");
      layer.width = this.#layers[0]?.width ?? DEFAULT_SIDE;
      layer.height = this.#layers[0]?.height ?? DEFAULT_SIDE;
      layer.setAttribute("aria-hidden", "true");
      this.#layers.push(layer);
      this.element.append(layer);
    }
    return this.#layers[index] as HTMLCanvasElement;
  }

  /** The picture of a message, from the cache if it has been loaded before. */
  async #loadImage({ image: name, src }: Message): Promise<HTMLImageElement | undefined> {
    const key = String(name ?? src);
    const cached = this.#images.get(key);
    if (cached) return cached;
    if (typeof src !== "string" || !IMAGE_SOURCE.test(src)) return undefined;
    if (this.#images.size >= MAX_IMAGES) return undefined;
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

  #handleMouse(name: MouseEventName, event: MouseEvent): void {
    const layer = this.#layers[0];
    if (!layer) return;
    const bounds = layer.getBoundingClientRect();
    const x = Math.round(((event.clientX - bounds.left) / bounds.width) * layer.width);
    const y = Math.round(((event.clientY - bounds.top) / bounds.height) * layer.height);
    if (name === "mousemove") this.sendEvent(name, { x, y }, { coalesce: true });
    else this.sendEvent(name, { x, y, button: event.button });
    if (name !== "mousedown") return;
    this.element.focus();
    // With the capture, a drag that leaves the canvas sends its events until the button is
    // released.
    if (event instanceof PointerEvent && event.isTrusted) {
      this.element.setPointerCapture(event.pointerId);
    }
  }
}
