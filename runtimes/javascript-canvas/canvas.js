"use strict";

// A canvas to draw on, a mouse and a keyboard. docs/canvas.md describes every call and the message it sends.
//
// Lengths and places are in pixels; the origin is the top left corner, y grows downwards; angles are in degrees,
// clockwise. Every shape takes a style besides, e.g. `circle(100, 100, 50, { fill: "red" })`.

const livecode = require("/node_modules/livecode");

const { line: lineOf, post, watch } = livecode.internal;
const MAX_FRAMES_A_SECOND = 60;
// What was pressed for less than a frame counts as pressed for so long, from when it is asked for.
const TAP_MS = 1000 / MAX_FRAMES_A_SECOND;
const MAX_PUSHES = 1000;
const MAX_IMAGE_BYTES = 3 * 1024 * 1024 - 4096; // in base64, within a message
// Matrices are rounded, so that all languages send the same though their sines differ in the last digit.
const MATRIX_UNITS = 1e6;
const IDENTITY = [1, 0, 0, 1, 0, 0];

let style = {};
let matrix = IDENTITY;
let level = 0;
const saved = [];
const images = new Map(); // by path or bytes: [name, address]
const sentImages = new Set();

const isNumber = (value) => typeof value === "number";
const short = (number) => Math.round(number * MATRIX_UNITS) / MATRIX_UNITS + 0; // no negative zero

/** One shape, with the style and the transformation that are set. */
function draw(shape, args, own = {}, fields = {}) {
  for (const arg of args) {
    if (arg === undefined) throw new TypeError(`${shape}: an argument is missing`);
    if (isNumber(arg) && !Number.isFinite(arg)) throw new RangeError(`${shape}: ${arg} is no place and no length`);
  }
  const message = { msgtype: "draw", shape, args, ...fields };
  const whole = { ...style, ...own };
  if (Object.keys(whole).length > 0) message.style = whole;
  if (matrix !== IDENTITY && matrix.some((number, at) => number !== IDENTITY[at])) {
    message.transform = matrix.map(short);
  }
  if (level > 0) message.layer = level;
  post(lineOf(message));
}

/** What is no shape, and has neither style nor place. */
function command(shape, args, isOfLayer) {
  const message = { msgtype: "draw", shape, args };
  if (isOfLayer && level > 0) message.layer = level;
  post(lineOf(message));
}

// Shapes

/** A circle of diameter `d` around (x, y). */
const circle = (x, y, d, style) => draw("circle", [x, y, d], style);

/** An ellipse around (x, y), `w` wide and `h` high. */
const ellipse = (x, y, w, h, style) => draw("ellipse", [x, y, w, h], style);

/** A line from (x1, y1) to (x2, y2). */
const line = (x1, y1, x2, y2, style) => draw("line", [x1, y1, x2, y2], style);

/** A rectangle, `w` wide and `h` high, with its top left corner at (x, y). */
const rect = (x, y, w, h, style) => draw("rect", [x, y, w, h], style);

/** A polygon with these corners: `polygon(x1, y1, x2, y2, x3, y3)`, or one array of pairs. */
function polygon(...points) {
  const last = points.at(-1);
  const own = typeof last === "object" && !Array.isArray(last) ? points.pop() : {};
  const numbers = points.flat(2);
  if (numbers.length < 6 || numbers.length % 2 !== 0) {
    throw new RangeError(
      `polygon: at least three corners of two numbers each are needed, not ${numbers.length} numbers`,
    );
  }
  draw("polygon", numbers, own);
}

/** A text whose base line starts at (x, y); `size` is its height in pixels, `align` left, center or right. */
const text = (words, x, y, style) => draw("text", [String(words), x, y], style);

/**
 * A picture with its top left corner at (x, y), `w` wide and `h` high, or as large as it is. It is the path or the bytes
 * of a PNG, JPEG, GIF, WebP or SVG, or a `data:` address, and is sent when first drawn.
 */
function image(picture, x, y, w, h, style) {
  if (typeof w === "object" && w !== null) [w, style] = [undefined, w];
  if ((w === undefined) !== (h === undefined)) throw new TypeError("image: give both width and height, or neither");
  const [name, source] = known(picture);
  const fields = sentImages.has(name) ? { image: name } : { image: name, src: source };
  draw("image", w === undefined ? [x, y] : [x, y, w, h], style, fields);
  sentImages.add(name);
}

/** A picture's short name, made from its contents, and its `data:` address. */
function known(picture) {
  const isBytes = picture instanceof Uint8Array;
  if (!isBytes && typeof picture !== "string") {
    throw new TypeError("image: a path, bytes or a data: address is needed");
  }
  const key = isBytes ? Buffer.from(picture).toString("latin1") : picture;
  if (!images.has(key)) {
    const source = address(picture);
    const name = require("node:crypto").createHash("sha256").update(source).digest("hex").slice(0, 16);
    images.set(key, [name, source]);
  }
  return images.get(key);
}

function address(picture) {
  if (typeof picture === "string") {
    if (picture.startsWith("data:image/")) return picture;
    if (picture.includes("://")) {
      throw new TypeError(
        `image: ${picture.slice(0, 80)} is elsewhere; only files and data: addresses can be drawn`,
      );
    }
    picture = require("node:fs").readFileSync(picture);
  }
  if (picture.length > MAX_IMAGE_BYTES) {
    throw new RangeError(`image: the picture has more than ${MAX_IMAGE_BYTES} bytes; make it smaller`);
  }
  const data = Buffer.from(picture);
  return `data:${kind(data.subarray(0, 12).toString("latin1"))};base64,${data.toString("base64")}`;
}

function kind(start) {
  if (start.startsWith("\x89PNG\r\n\x1a\n")) return "image/png";
  if (start.startsWith("\xff\xd8\xff")) return "image/jpeg";
  if (start.startsWith("GIF8")) return "image/gif";
  if (start.startsWith("<svg") || start.startsWith("<?xml")) return "image/svg+xml";
  if (start.startsWith("RIFF") && start.endsWith("WEBP")) return "image/webp";
  throw new TypeError("image: this is no PNG, JPEG, GIF, WebP or SVG");
}

/** Takes away all that was drawn. */
const clear = () => command("clear", [], true);

/** Paints the whole canvas in one colour, over all that was drawn. */
const background = (...given) => command("background", [colour("background", given)], true);

/** Makes the canvas `w` wide and `h` high, and empty. It is 400 by 400 before. */
const size = (w, h) => command("size", [w, h], false);

/** Draws on this layer from now on: 0, the lowest, to 9. `clear` and `background` are of one layer alone. */
function layer(number) {
  if (!Number.isInteger(number) || number < 0 || number > 9) {
    throw new RangeError(`layer: a whole number from 0 to 9 is needed, not ${number}`);
  }
  level = number;
}

// Style

/** A colour as the page takes it, from its name or its red, green and blue. */
function colour(call, given) {
  if (given.length === 1 && Array.isArray(given[0])) given = given[0];
  if (given.length === 1 && given[0] === null) return "none";
  if (given.length === 1 && typeof given[0] === "string") return given[0];
  if ((given.length === 3 || given.length === 4) && given.every(isNumber)) {
    const [red, green, blue] = given.slice(0, 3).map((part) => Math.trunc(part + 0.5));
    return given.length === 3 ? `rgb(${red},${green},${blue})` : `rgba(${red},${green},${blue},${short(given[3])})`;
  }
  throw new TypeError(
    `${call}: a colour is a text such as "red" or "#ff0000", or three numbers from 0 to 255, not ${given}`,
  );
}

function set(key, value) {
  style = { ...style, [key]: value };
}

function unset(key) {
  const { [key]: _, ...others } = style;
  style = others;
}

/** Fills shapes with this colour from now on; `fill(null)` leaves them empty, `fill()` is as at the start. */
const fill = (...given) => (given.length > 0 ? set("fill", colour("fill", given)) : unset("fill"));

/** Outlines shapes in this colour from now on; `stroke(null)` not at all, `stroke()` is as at the start. */
const stroke = (...given) => (given.length > 0 ? set("stroke", colour("stroke", given)) : unset("stroke"));

/** How wide lines and outlines are from now on; without a number as at the start. */
const width = (pixels) => (pixels === undefined ? unset("width") : set("width", pixels));

// Where to draw

/** What is drawn from now on is first moved by this matrix, then as before. */
function transform(a, b, c, d, e, f) {
  const [a0, b0, c0, d0, e0, f0] = matrix;
  matrix = [
    a0 * a + c0 * b,
    b0 * a + d0 * b,
    a0 * c + c0 * d,
    b0 * c + d0 * d,
    a0 * e + c0 * f + e0,
    b0 * e + d0 * f + f0,
  ];
}

/** Moves the origin by (x, y). */
const translate = (x, y) => transform(1, 0, 0, 1, x, y);

/** Turns what is drawn from now on clockwise about the origin. */
function rotate(degrees) {
  const [c, s] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
  transform(c, s, -s, c, 0, 0);
}

/** Makes what is drawn from now on `x` times as wide and `y` (or also `x`) times as high. */
const scale = (x, y = x) => transform(x, 0, 0, y, 0, 0);

/** Remembers style, origin, angle and scale until `pop`. */
function push() {
  if (saved.length >= MAX_PUSHES) throw new Error(`push: ${MAX_PUSHES} pushes have no pop`);
  saved.push([style, matrix]);
}

/** Brings back what the last `push` remembered. */
function pop() {
  if (saved.length === 0) throw new Error("pop: there was no push");
  [style, matrix] = saved.pop();
}

// Animation

let nextFrame = 0;
let isWaiting = false;

/**
 * Shows what was drawn since the last frame, all at once, and waits for the time of the next, `fps` a second. Handlers
 * are called meanwhile.
 */
function frame(fps = MAX_FRAMES_A_SECOND) {
  if (isWaiting) throw new Error("frame: the last frame is still being waited for: write `await frame()`");
  if (!(fps > 0 && fps <= MAX_FRAMES_A_SECOND)) {
    throw new RangeError(`frame: from 1 to ${MAX_FRAMES_A_SECOND} frames a second can be shown, not ${fps}`);
  }
  command("frame", [], false);
  for (const tap of oldTaps) if (taps.has(tap)) letGo(tap);
  const now = performance.now();
  // A frame that took too long is not made up for by a hurry.
  nextFrame = Math.max(nextFrame + 1000 / fps, now);
  isWaiting = true;
  return new Promise((resolve) => {
    const wake = () => {
      isWaiting = false;
      oldTaps = [...taps.keys()];
      resolve();
    };
    const left = nextFrame - now;
    // A timer is late by up to a millisecond, which the next frame's wait makes good.
    if (left >= 1) setTimeout(wake, Math.floor(left));
    else setImmediate(wake);
  });
}

// Mouse and keyboard

const state = { x: 0, y: 0 };
const down = new Set(); // the buttons, by number, and the keys, by name, that count as pressed
const unseen = new Set(); // those of them that the program has not asked for since they went down
const taps = new Map(); // those that are up again already, unseen; and when they were first asked for
let oldTaps = []; // those that the program has had a frame's time to ask for
let isWatching = false;

function press(what) {
  if (!down.has(what) || taps.has(what)) unseen.add(what);
  down.add(what);
  taps.delete(what);
}

function release(what) {
  if (!unseen.has(what)) letGo(what);
  else if (!taps.has(what)) taps.set(what, 0);
}

function letGo(what) {
  for (const all of [down, unseen, taps]) all.delete(what);
}

/** Whether it is pressed; what was only tapped is for as long as a frame, so that no loop can miss it. */
function isDown(what) {
  if (taps.has(what)) {
    const now = performance.now();
    taps.set(what, taps.get(what) || now);
    if (now - taps.get(what) > TAP_MS) letGo(what);
  } else unseen.delete(what);
  return down.has(what);
}

/** A key's name for polling: `"left"` is the arrow, `"space"` the space bar, `"a"` also `"A"`. */
function plainKey(name) {
  const lower = name.toLowerCase();
  return lower === " " ? "space" : lower.replace(/^arrow/, "");
}

/** From now on keeps in mind where the mouse is and what is pressed. */
function poll() {
  if (isWatching) return;
  isWatching = true;
  watch(({ event, data }) => {
    if (isNumber(data?.x) && isNumber(data?.y)) [state.x, state.y] = [data.x, data.y];
    if (event === "mousedown") press(data?.button ?? 0);
    else if (event === "mouseup") release(data?.button ?? 0);
    else if (event === "keydown" && typeof data?.key === "string") press(plainKey(data.key));
    else if (event === "keyup" && typeof data?.key === "string") release(plainKey(data.key));
    // What is let go now goes unseen.
    else if (event === "blur") [...down].forEach(letGo);
  });
}

/** Asks for a value of the state. It moves on at each `await`. */
const polled = (ask) => (argument) => {
  poll();
  return ask(argument);
};

/** Where the mouse is, in pixels from the left. */
const mouseX = polled(() => state.x);
/** Where the mouse is, in pixels from the top. */
const mouseY = polled(() => state.y);
/** Whether a mouse button is down: 0 the left, 1 the middle, 2 the right one. */
const mousePressed = polled((button = 0) => isDown(button));
/** Whether a key is down, e.g. `"a"`, `"left"`, `"space"`, `"enter"`. */
const keyPressed = polled((key) => isDown(plainKey(key)));

/** A call that sets a handler for an event, and returns a function that takes it back. */
function handlerOf(event, adapt) {
  return (handler) => {
    if (typeof handler !== "function") throw new TypeError(`the handler of ${event} must be a function`);
    poll();
    return livecode.on(event, (data) => adapt(handler, data));
  };
}

const at = (handler) => handler(state.x, state.y);
const ofKey = (handler, data) => handler(String(data?.key ?? ""));

module.exports = {
  background, circle, clear, ellipse, fill, frame, image, keyPressed, layer, line, mousePressed, mouseX, mouseY, polygon,
  pop, push, rect, rotate, scale, size, stroke, text, translate, width,
  onClick: handlerOf("click", at),
  onKeyDown: handlerOf("keydown", ofKey),
  onKeyUp: handlerOf("keyup", ofKey),
  onMouseDown: handlerOf("mousedown", at),
  onMouseMove: handlerOf("mousemove", at),
  onMouseUp: handlerOf("mouseup", at),
  run: livecode.run,
  stop: livecode.stop,
};
