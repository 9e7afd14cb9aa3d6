/**
 * Draws `draw` messages on a canvas: `shape` and `args` as in v0.1, with the `style` and
 * `transform` that v0.2 added.
 */

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

type Context = CanvasRenderingContext2D;

/** For each shape that has an outline, a function that adds it to the context's path. */
const OUTLINES: Record<string, (context: Context, ...args: number[]) => void> = {
  circle: (context, x = 0, y = 0, d = 0) => context.ellipse(x, y, d / 2, d / 2, 0, 0, 7),
  ellipse: (context, x = 0, y = 0, width = 0, height = 0) =>
    context.ellipse(x, y, width / 2, height / 2, 0, 0, 7),
  rect: (context, x = 0, y = 0, width = 0, height = 0) => context.rect(x, y, width, height),
  line(context, x1 = 0, y1 = 0, x2 = 0, y2 = 0) {
    context.moveTo(x1, y1);
    context.lineTo(x2, y2);
  },
  polygon(context, ...coordinates) {
    for (let at = 0; at + 1 < coordinates.length; at += 2) {
      context.lineTo(coordinates[at] as number, coordinates[at + 1] as number);
    }
    context.closePath();
  },
};

/** The largest width and height that a program may give a canvas, in pixels. */
const MAX_SIDE = 4096;

export function clear(canvas: HTMLCanvasElement): void {
  canvas.getContext("2d")?.clearRect(0, 0, canvas.width, canvas.height);
}

/**
 * Draws one message. `image` is the loaded picture of a message with the shape `image`. A message
 * that cannot be drawn is ignored.
 */
export function draw(canvas: HTMLCanvasElement, message: Message, image?: HTMLImageElement): void {
  const context = canvas.getContext("2d");
  const shape = String(message.shape);
  const args = Array.isArray(message.args) ? (message.args as unknown[]) : [];
  if (!context) return;
  if (shape === "clear") return clear(canvas);
  if (shape === "size") {
    const [width, height] = args.map((side) => Math.min(Number(side) || 1, MAX_SIDE));
    canvas.width = width ?? 1;
    canvas.height = height ?? 1;
    return;
  }
  context.save();
  try {
    drawShape(canvas, context, message, args, image);
  } catch {
    // The canvas rejects some numbers, e.g. a negative radius.
  }
  context.restore();
}

function drawShape(
  canvas: HTMLCanvasElement,
  context: Context,
  message: Message,
  args: unknown[],
  image?: HTMLImageElement,
): void {
  const shape = String(message.shape);
  const style = (message.style ?? {}) as Style;
  if (shape === "background") {
    context.fillStyle = String(args[0]);
    context.fillRect(0, 0, canvas.width, canvas.height);
  }
  if (Array.isArray(message.transform)) {
    context.transform(...(message.transform.map(Number) as Parameters<Context["transform"]>));
  }
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = style.width ?? 1;
  context.strokeStyle = style.stroke ?? "black";
  context.fillStyle = style.fill ?? "black";
  const addOutline = Object.hasOwn(OUTLINES, shape) && OUTLINES[shape];
  if (addOutline) {
    context.beginPath();
    addOutline(context, ...args.map(Number));
    if (style.fill && style.fill !== "none" && shape !== "line") context.fill();
    if (style.stroke !== "none") context.stroke();
  } else if (image) {
    const [x = 0, y = 0, width = image.naturalWidth, height = image.naturalHeight] =
      args.map(Number);
    context.drawImage(image, x, y, width, height);
  } else if (shape === "text") {
    const slant = style.italic ? "italic " : "";
    const weight = style.bold ? "bold " : "";
    context.font = `${slant}${weight}${style.size ?? 16}px ${style.font ?? "sans-serif"}`;
    context.textAlign = style.align ?? "left";
    if (style.fill !== "none") context.fillText(String(args[0]), Number(args[1]), Number(args[2]));
  }
}
