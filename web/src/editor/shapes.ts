/**
 * Turns `shape` messages of protocol v0.1 into `draw` messages. A shape has a `tag` and attributes
 * as in SVG, and a group has `children`. The origin is the middle of the canvas.
 */

import type { Message } from "../client/index.js";

/** The middle of a canvas that the program gives no size. */
const CENTRE = 200;
/** The largest number of shapes in one message, and of groups in one another. */
const MAX_SHAPES = 20_000;
const MAX_DEPTH = 100;

const TRANSFORM = /(translate|rotate|scale|matrix)\s*\(([^)]*)\)/g;

/** The `draw` messages of one `shape` message. */
export function drawingsOf(message: Message): Message[] {
  const drawings: Message[] = [];
  collect(message, new DOMMatrix().translate(CENTRE, CENTRE), drawings, 0);
  return drawings;
}

function collect(shape: unknown, outer: DOMMatrix, drawings: Message[], depth: number): void {
  if (typeof shape !== "object" || shape === null || depth > MAX_DEPTH) return;
  const attributes = shape as Record<string, unknown>;
  const matrix = transformed(outer, String(attributes.transform ?? ""));
  if (Array.isArray(attributes.children)) {
    for (const child of attributes.children) collect(child, matrix, drawings, depth + 1);
  }
  const drawing = drawingOf(attributes);
  if (!drawing || drawings.length >= MAX_SHAPES) return;
  const { a, b, c, d, e, f } = matrix;
  drawings.push({ ...drawing, msgtype: "draw", style: styleOf(attributes), transform: [a, b, c, d, e, f] });
}

/** The shape and the arguments of a `draw` message. */
function drawingOf(attributes: Record<string, unknown>): Record<string, unknown> | undefined {
  const numbers = (...names: string[]) => names.map((name) => Number(attributes[name] ?? 0));
  const [x = 0, y = 0] = numbers("cx", "cy");
  switch (attributes.tag) {
    case "circle":
      return { shape: "circle", args: [x, y, 2 * Number(attributes.r ?? 0)] };
    case "ellipse": {
      const [width = 0, height = 0] = numbers("rx", "ry");
      return { shape: "ellipse", args: [x, y, 2 * width, 2 * height] };
    }
    case "rect":
      return { shape: "rect", args: numbers("x", "y", "width", "height") };
    case "line":
      return { shape: "line", args: numbers("x1", "y1", "x2", "y2") };
    default:
      return undefined;
  }
}

function styleOf(attributes: Record<string, unknown>): Record<string, unknown> {
  const width = Number(attributes["stroke-width"] ?? 1);
  return {
    fill: String(attributes.fill ?? "none"),
    stroke: String(attributes.stroke ?? "black"),
    width: Number.isFinite(width) ? width : 1,
  };
}

/** The matrix of an SVG `transform` inside `outer`. */
function transformed(outer: DOMMatrix, transform: string): DOMMatrix {
  let matrix = outer;
  for (const [, name, list = ""] of transform.matchAll(TRANSFORM)) {
    const numbers = list.trim().split(/[\s,]+/).map(Number);
    const [first = 0, second, third = 0] = numbers;
    if (name === "matrix") {
      if (numbers.length === 6) matrix = matrix.multiply(new DOMMatrix(numbers));
    } else if (name === "translate") matrix = matrix.translate(first, second ?? 0);
    else if (name === "scale") matrix = matrix.scale(first, second ?? first);
    else matrix = matrix.translate(second ?? 0, third).rotate(first).translate(-(second ?? 0), -third);
  }
  return matrix;
}
