"use strict";

// A canvas to draw on, with mouse and keyboard. docs/canvas.md describes every function and the
// message that it sends.
//
// Coordinates and lengths are in pixels. The origin is the top left corner, and y grows downwards.
// Angles are in degrees, clockwise. Every shape takes a style as last argument, e.g.
// `circle(100, 100, 50, { fill: "red" })`.

const livecode = require("/node_modules/livecode");

const { line: encodeLine, post, watch } = livecode.internal;
const MAX_FRAMES_A_SECOND = 60;
// A key or button that was pressed for less than a frame counts as pressed for this time after the
// program first asks for it.
const TAP_MS = 1000 / MAX_FRAMES_A_SECOND;
const MAX_PUSHES = 1000;
const MAX_IMAGE_BYTES = 3 * 1024 * 1024 - 4096; // its base64 form must fit into a message
// Matrices are rounded, so that all languages send the same numbers although their sines differ in
// the last digit.
const MATRIX_UNITS = 1e6;
const IDENTITY = [1, 0, 0, 1, 0, 0];

let style = {};
let matrix = IDENTITY;
let level = 0;
const saved = [];
const images = new Map(); // from path or bytes to [name, address]
const sentImages = new Set();

const isNumber = (value) => typeof value === "number";
const roundNumber = (number) => Math.round(number * MATRIX_UNITS) / MATRIX_UNITS + 0; // avoids -0

/** Sends a shape with the current style and transformation. */
function draw(shape, args, own = {}, fields = {}) {
  for (const arg of args) {
    if (arg === undefined) throw new TypeError(`${shape}: an argument is missing`);
    if (isNumber(arg) && !Number.isFinite(arg)) throw new RangeError(`${shape}: ${arg} is neither a coordinate nor a length`);
  }
  const message = { msgtype: "draw", shape, args, ...fields };
  const merged = { ...style, ...own };
  if (Object.keys(merged).length > 0) message.style = merged;
  if (matrix !== IDENTITY && matrix.some((number, index) => number !== IDENTITY[index])) {
    message.transform = matrix.map(roundNumber);
  }
  if (level > 0) message.layer = level;
  post(encodeLine(message));
}

/** Sends a command that is not a shape and has neither style nor transformation. */
function command(shape, args, isOfLayer) {
  const message = { msgtype: "draw", shape, args };
  if (isOfLayer && level > 0) message.layer = level;
  post(encodeLine(message));
}

// Shapes

/** Draws a circle of diameter `d` around (x, y). */
const circle = (x, y, d, style) => draw("circle", [x, y, d], style);

/** Draws an ellipse around (x, y), `w` wide and `h` high. */
const ellipse = (x, y, w, h, style) => draw("ellipse", [x, y, w, h], style);

/** Draws a line from (x1, y1) to (x2, y2). */
const line = (x1, y1, x2, y2, style) => draw("line", [x1, y1, x2, y2], style);

/** Draws a rectangle, `w` wide and `h` high, with its top left corner at (x, y). */
const rect = (x, y, w, h, style) => draw("rect", [x, y, w, h], style);

/**
 * Draws a polygon with the given corners: `polygon(x1, y1, x2, y2, x3, y3)`, or one array of
 * pairs.
 */
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

/**
 * Draws a text whose base line starts at (x, y). In the style, `size` is its height in pixels, and
 * `align` is left, center or right.
 */
const text = (words, x, y, style) => draw("text", [String(words), x, y], style);

/**
 * Draws a picture with its top left corner at (x, y), `w` wide and `h` high, or in its own size.
 * The picture is given as the path or the bytes of a PNG, JPEG, GIF, WebP or SVG, or as a `data:`
 * address. It is sent when it is first drawn.
 */
function image(picture, x, y, w, h, style) {
  if (typeof w === "object" && w !== null) [w, style] = [undefined, w];
  if ((w === undefined) !== (h === undefined)) throw new TypeError("image: give both width and height, or neither");
  const [name, source] = known(picture);
  const fields = sentImages.has(name) ? { image: name } : { image: name, src: source };
  draw("image", w === undefined ? [x, y] : [x, y, w, h], style, fields);
  sentImages.add(name);
}

/** The picture's short name, a digest of its contents, and its `data:` address. */
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

/** The `data:` address of a picture. */
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
  return `data:${mimetype(data.subarray(0, 12).toString("latin1"))};base64,${data.toString("base64")}`;
}

/** The MIME type of a picture that begins with these bytes. */
function mimetype(start) {
  if (start.startsWith("\x89PNG\r\n\x1a\n")) return "image/png";
  if (start.startsWith("\xff\xd8\xff")) return "image/jpeg";
  if (start.startsWith("GIF8")) return "image/gif";
  if (start.startsWith("<svg") || start.startsWith("<?xml")) return "image/svg+xml";
  if (start.startsWith("RIFF") && start.endsWith("WEBP")) return "image/webp";
  throw new TypeError("image: this is no PNG, JPEG, GIF, WebP or SVG");
}

/** Removes everything that was drawn on the current layer. */
const clear = () => command("clear", [], true);

/** Paints the whole canvas in one colour, over everything that was drawn. */
const background = (...given) => command("background", [colour("background", given)], true);

/** Makes the canvas `w` wide and `h` high, and clears it. Its initial size is 400 by 400. */
const size = (w, h) => command("size", [w, h], false);

/**
 * Selects the layer for all further drawing, from 0, the lowest, to 9. `clear` and `background`
 * affect only the selected layer.
 */
function layer(number) {
  if (!Number.isInteger(number) || number < 0 || number > 9) {
    throw new RangeError(`layer: a whole number from 0 to 9 is needed, not ${number}`);
  }
  level = number;
}

// Style

/** A colour as CSS, from its name or its red, green and blue parts. */
function colour(call, given) {
  if (given.length === 1 && Array.isArray(given[0])) given = given[0];
  if (given.length === 1 && given[0] === null) return "none";
  if (given.length === 1 && typeof given[0] === "string") return given[0];
  if ((given.length === 3 || given.length === 4) && given.every(isNumber)) {
    const [red, green, blue] = given.slice(0, 3).map((part) => Math.trunc(part + 0.5));
    return given.length === 3 ? `rgb(${red},${green},${blue})` : `rgba(${red},${green},${blue},${roundNumber(given[3])})`;
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

/**
 * Sets the fill colour of further shapes. `fill(null)` leaves them unfilled; `fill()` restores the
 * default.
 */
const fill = (...given) => (given.length > 0 ? set("fill", colour("fill", given)) : unset("fill"));

/**
 * Sets the colour of outlines and lines. `stroke(null)` draws none; `stroke()` restores the
 * default.
 */
const stroke = (...given) => (given.length > 0 ? set("stroke", colour("stroke", given)) : unset("stroke"));

/** Sets the width of outlines and lines. Without an argument it restores the default. */
const width = (pixels) => (pixels === undefined ? unset("width") : set("width", pixels));

// Transformation

/** Applies a matrix to further shapes before the current transformation. */
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

/** Rotates further shapes clockwise about the origin. */
function rotate(degrees) {
  const [c, s] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
  transform(c, s, -s, c, 0, 0);
}

/** Scales further shapes by `x` in width and by `y` in height; without `y` by `x` in both. */
const scale = (x, y = x) => transform(x, 0, 0, y, 0, 0);

/** Saves the style and the transformation until `pop`. */
function push() {
  if (saved.length >= MAX_PUSHES) throw new Error(`push: ${MAX_PUSHES} pushes have no pop`);
  saved.push([style, matrix]);
}

/** Restores the style and the transformation of the last `push`. */
function pop() {
  if (saved.length === 0) throw new Error("pop: there was no push");
  [style, matrix] = saved.pop();
}

// Animation

let nextFrame = 0;
let isWaiting = false;

/**
 * Shows everything that was drawn since the last frame at once, and waits for the time of the next
 * frame, at `fps` frames per second. Event handlers are called while it waits.
 */
function frame(fps = MAX_FRAMES_A_SECOND) {
  if (isWaiting) throw new Error("frame: the program did not wait for the last frame: write `await frame()`");
  if (!(fps > 0 && fps <= MAX_FRAMES_A_SECOND)) {
    throw new RangeError(`frame: from 1 to ${MAX_FRAMES_A_SECOND} frames a second can be shown, not ${fps}`);
  }
  command("frame", [], false);
  for (const tap of oldTaps) if (taps.has(tap)) forget(tap);
  const now = performance.now();
  // After a frame that took too long, the next one gets its full time.
  nextFrame = Math.max(nextFrame + 1000 / fps, now);
  isWaiting = true;
  return new Promise((resolve) => {
    const resume = () => {
      isWaiting = false;
      oldTaps = [...taps.keys()];
      resolve();
    };
    const left = nextFrame - now;
    // A timer is late by up to a millisecond; the wait of the next frame is shorter by that time.
    if (left >= 1) setTimeout(resume, Math.floor(left));
    else setImmediate(resume);
  });
}

// Mouse and keyboard

const state = { x: 0, y: 0 };
// Buttons, by number, and keys, by name, that count as pressed.
const down = new Set();
// Those in `down` that the program has not asked for since they were pressed.
const unseen = new Set();
// Those in `down` that were released before the program asked for them, with the time of the first
// question or 0.
const taps = new Map();
// The taps at the end of the last frame; they are forgotten at the end of the current one.
let oldTaps = [];
let isWatching = false;

function press(input) {
  if (!down.has(input) || taps.has(input)) unseen.add(input);
  down.add(input);
  taps.delete(input);
}

function release(input) {
  if (!unseen.has(input)) forget(input);
  else if (!taps.has(input)) taps.set(input, 0);
}

function forget(input) {
  for (const all of [down, unseen, taps]) all.delete(input);
}

/**
 * Whether a key or button counts as pressed. After a tap it counts as pressed for the time of a
 * frame, so that no loop misses it.
 */
function isDown(input) {
  if (taps.has(input)) {
    const now = performance.now();
    taps.set(input, taps.get(input) || now);
    if (now - taps.get(input) > TAP_MS) forget(input);
  } else unseen.delete(input);
  return down.has(input);
}

/**
 * A key's name for polling: `"left"` for the arrow, `"space"` for the space bar, `"a"` also for
 * `"A"`.
 */
function plainKey(name) {
  const lower = name.toLowerCase();
  return lower === " " ? "space" : lower.replace(/^arrow/, "");
}

/** Starts to record the position of the mouse and the pressed keys and buttons. */
function poll() {
  if (isWatching) return;
  isWatching = true;
  watch(({ event, data }) => {
    if (isNumber(data?.x) && isNumber(data?.y)) [state.x, state.y] = [data.x, data.y];
    if (event === "mousedown") press(data?.button ?? 0);
    else if (event === "mouseup") release(data?.button ?? 0);
    else if (event === "keydown" && typeof data?.key === "string") press(plainKey(data.key));
    else if (event === "keyup" && typeof data?.key === "string") release(plainKey(data.key));
    // The page does not receive the release of a key or button while it has no focus.
    else if (event === "blur") [...down].forEach(forget);
  });
}

/**
 * Makes a function that returns a value of the state. The state changes only during an `await`.
 */
const polled = (getValue) => (argument) => {
  poll();
  return getValue(argument);
};

/** The position of the mouse, in pixels from the left. */
const mouseX = polled(() => state.x);
/** The position of the mouse, in pixels from the top. */
const mouseY = polled(() => state.y);
/** Whether a mouse button is pressed: 0 is the left, 1 the middle, 2 the right one. */
const mousePressed = polled((button = 0) => isDown(button));
/** Whether a key is pressed, e.g. `"a"`, `"left"`, `"space"`, `"enter"`. */
const keyPressed = polled((key) => isDown(plainKey(key)));

/** Makes a function that adds a handler for an event and returns a function that removes it. */
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
