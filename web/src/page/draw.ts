/** Draws `draw` messages on a canvas: `shape` and `args` as in v0.1, with the `style` and `transform` that v0.2 added. */

import type { Message } from "../client/index.js";

interface Style {
  fill?: string;
  stroke?: string;
  width?: number;
  size?: number;
  font?: string;
  align?: CanvasTextAlign;
  bold?: boolean;
  italic?: boolean;
}

type Pen = CanvasRenderingContext2D;

/** Each adds its outline to the path. */
const OUTLINES: Record<string, (pen: Pen, ...args: number[]) => void> = {
  circle: (pen, x = 0, y = 0, d = 0) => pen.ellipse(x, y, d / 2, d / 2, 0, 0, 7),
  ellipse: (pen, x = 0, y = 0, width = 0, height = 0) => pen.ellipse(x, y, width / 2, height / 2, 0, 0, 7),
  rect: (pen, x = 0, y = 0, width = 0, height = 0) => pen.rect(x, y, width, height),
  line(pen, x1 = 0, y1 = 0, x2 = 0, y2 = 0) {
    pen.moveTo(x1, y1);
    pen.lineTo(x2, y2);
  },
  polygon(pen, ...places) {
    for (let at = 0; at + 1 < places.length; at += 2) pen.lineTo(places[at] as number, places[at + 1] as number);
    pen.closePath();
  },
};

/** The largest side that a program may give a canvas, in pixels. */
const SIDE_MAX = 4096;

export function clear(canvas: HTMLCanvasElement): void {
  canvas.getContext("2d")?.clearRect(0, 0, canvas.width, canvas.height);
}

/** Draws one message; `image` is the picture of one that shows one. What cannot be drawn is passed over. */
export function draw(canvas: HTMLCanvasElement, message: Message, image?: HTMLImageElement): void {
  const pen = canvas.getContext("2d");
  const shape = String(message.shape);
  const args = Array.isArray(message.args) ? (message.args as unknown[]) : [];
  if (!pen) return;
  if (shape === "clear") return clear(canvas);
  if (shape === "size") {
    const [width, height] = args.map((side) => Math.min(Number(side) || 1, SIDE_MAX));
    canvas.width = width ?? 1;
    canvas.height = height ?? 1;
    return;
  }
  pen.save();
  try {
    paint(canvas, pen, shape, args, message, image);
  } catch {
    // numbers that a canvas does not take
  }
  pen.restore();
}

function paint(canvas: HTMLCanvasElement, pen: Pen, shape: string, args: unknown[], message: Message, image?: HTMLImageElement): void {
  const style = (message.style ?? {}) as Style;
  if (shape === "background") {
    pen.fillStyle = String(args[0]);
    pen.fillRect(0, 0, canvas.width, canvas.height);
  }
  if (Array.isArray(message.transform)) pen.transform(...(message.transform.map(Number) as Parameters<Pen["transform"]>));
  pen.lineCap = pen.lineJoin = "round";
  pen.lineWidth = style.width ?? 1;
  pen.strokeStyle = style.stroke ?? "black";
  pen.fillStyle = style.fill ?? "black";
  const outline = Object.hasOwn(OUTLINES, shape) && OUTLINES[shape];
  if (outline) {
    pen.beginPath();
    outline(pen, ...args.map(Number));
    if (style.fill && style.fill !== "none" && shape !== "line") pen.fill();
    if (style.stroke !== "none") pen.stroke();
  } else if (image) {
    const [x = 0, y = 0, width = image.naturalWidth, height = image.naturalHeight] = args.map(Number);
    pen.drawImage(image, x, y, width, height);
  } else if (shape === "text") {
    pen.font = `${style.italic ? "italic " : ""}${style.bold ? "bold " : ""}${style.size ?? 16}px ${style.font ?? "sans-serif"}`;
    pen.textAlign = style.align ?? "left";
    if (style.fill !== "none") pen.fillText(String(args[0]), Number(args[1]), Number(args[2]));
  }
}
