"use strict";

// Messages from a program to whoever watches it, and events back.
//
//     const livecode = require("livecode");      // or: import livecode from "livecode";
//     livecode.send("draw", { shape: "circle", args: [100, 100, 50] });
//     livecode.on("mousemove", (data) => console.log(data));
//     for await (const { event, data } of livecode.events()) console.log(event, data);
//
// A message is a JSON object with a `msgtype`; the names of LiveCode's own messages are refused.

const fs = require("node:fs");

const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
// In base64 four bytes stand for three, and the message has a little besides.
const MAX_PICTURE_BYTES = Math.floor((MAX_MESSAGE_BYTES - 1024) / 4) * 3;
// A channel from which nothing is taken for so long fails the program's send, which would else wait for ever.
const FULL_MS = 5000;
const RESERVED = new Set(
  "welcome pong goodbye write exitstatus error ack gap waiting queued case cases testresult".split(" "),
);

/** The number of the message channel, a stream socket. */
function channel() {
  const fd = Number.parseInt(process.env.LIVECODE_FD ?? "", 10);
  if (Number.isNaN(fd)) throw new Error("there is no message channel: this program does not run in LiveCode");
  return fd;
}

// Sending

let unsent = Buffer.alloc(0); // the rest of a message whose send failed

/**
 * Sends a message, given as its `msgtype` and further fields, or whole as an object. What was printed before it arrives
 * before it: Node writes to pipes at once.
 */
function send(msgtype, fields = {}) {
  const isWhole = typeof msgtype === "object" && msgtype !== null;
  post(line(isWhole ? { ...msgtype, ...fields } : { msgtype, ...fields }));
}

/** The line that says a message, once it is known to be one that a program may send. */
function line(message) {
  const name = message.msgtype;
  if (typeof name !== "string") {
    const wrong = name === undefined ? "and this one has none" : `not ${String(name)}`;
    throw new TypeError(`a message needs a "msgtype" that is a text, e.g. send("score", { points: 3 }), ${wrong}`);
  }
  if (RESERVED.has(name)) throw new Error(`"${name}" is a message of the server's own: choose another msgtype`);
  let text;
  try {
    text = JSON.stringify(message);
  } catch (error) {
    throw new TypeError(`the message "${name}" is not JSON: ${error.message}`);
  }
  const bytes = Buffer.from(text + "\n");
  if (bytes.length - 1 > MAX_MESSAGE_BYTES) {
    const length = bytes.length - 1;
    throw new RangeError(
      `the message "${name}" has ${length} bytes, and at most ${MAX_MESSAGE_BYTES} can be sent: send it in parts`,
    );
  }
  return bytes;
}

/** Writes whole lines, at once or, where the channel is full, as soon as it is not. */
function post(lines) {
  const fd = channel();
  let left = unsent.length > 0 ? Buffer.concat([unsent, lines]) : lines;
  let until = 0;
  try {
    while (left.length > 0) {
      try {
        left = left.subarray(fs.writeSync(fd, left));
        until = 0;
      } catch (error) {
        if (error.code === "EPIPE" || error.code === "ECONNRESET") {
          left = left.subarray(left.length);
          throw new Error("the message channel is closed: nobody takes messages any more");
        }
        if (error.code !== "EAGAIN") throw error;
        if (until === 0) until = Date.now() + FULL_MS;
        if (Date.now() > until) {
          throw new Error(`the message channel is full, and nothing was taken from it for ${FULL_MS / 1000} s`);
        }
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
      }
    }
  } finally {
    unsent = left;
  }
}

// Receiving

const takers = new Set(); // functions that are given each event, and keep the program alive
const watchers = new Set(); // functions that are told of each event before them, and do not
let socket; // opened when first something listens
let isEnded = false;
const onEnd = new Set();

/** Reads from the channel while anybody listens; keeps the program alive while it is for takers. */
function update() {
  if (takers.size === 0 && watchers.size === 0) {
    socket?.unref().pause();
    return;
  }
  if (socket === undefined) {
    const net = require("node:net"); // only programs that listen need it
    // It must outlive the last event, since messages go out on it too; and not read ahead of those who listen.
    const options = { readable: true, writable: false, allowHalfOpen: true, readableHighWaterMark: 0 };
    socket = new net.Socket({ fd: channel(), ...options });
    let held = "";
    socket.setEncoding("utf8").on("data", (text) => {
      const lines = (held + text).split("\n");
      held = lines.pop();
      for (const one of lines) give(JSON.parse(one));
    });
    const end = () => {
      isEnded = true;
      for (const tell of [...onEnd]) tell();
    };
    socket.on("end", end).on("error", end);
  }
  if (takers.size > 0) socket.ref();
  else socket.unref();
  socket.resume();
}

function give(event) {
  for (const watch of watchers) watch(event);
  for (const take of [...takers]) take(event);
}

/** Tells `take` each event until the function it returns is called. A program that listens stays alive. */
function listen(take) {
  takers.add(take);
  update();
  return () => {
    takers.delete(take);
    update();
  };
}

/** Tells `watcher` each event, before its handlers, without keeping the program alive. */
function watch(watcher) {
  watchers.add(watcher);
  update();
}

/** Calls `handler` with the data of each event of this name, until the function it returns is called. */
function on(name, handler) {
  if (typeof handler !== "function") throw new TypeError(`the handler of ${name} must be a function`);
  return listen(({ event, data }) => {
    if (event === name) handler(data);
  });
}

const isMove = (event) => event?.event === "mousemove";

/** Events as they come, for `for await`. */
class Events {
  #held = [];
  #waiting = [];
  #stop;
  #isDone = false;
  #end = () => this.#finish();

  constructor({ coalesce = false } = {}) {
    this.#stop = listen((event) => {
      if (this.#waiting.length > 0) this.#waiting.shift()({ value: event, done: false });
      else if (coalesce && isMove(event) && isMove(this.#held.at(-1))) this.#held[this.#held.length - 1] = event;
      else this.#held.push(event);
    });
    onEnd.add(this.#end);
    if (isEnded) this.#finish();
  }

  #finish() {
    this.#isDone = true;
    onEnd.delete(this.#end);
    this.#stop();
    for (const tell of this.#waiting.splice(0)) tell({ value: undefined, done: true });
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  next() {
    if (this.#held.length > 0) return Promise.resolve({ value: this.#held.shift(), done: false });
    if (this.#isDone) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  return() {
    this.#held = [];
    this.#finish();
    return Promise.resolve({ value: undefined, done: true });
  }
}

/** The events, as they come. With `coalesce`, of mouse moves that have come one after another only the last. */
function events(options) {
  return new Events(options);
}

let early; // what has come that nextEvent has not given yet, and who waits for it

/** The next event; null where none comes within `ms` milliseconds, or none can come any more. */
function nextEvent(ms = Infinity) {
  if (early === undefined) {
    early = { held: [], waiting: [] };
    watch((event) => {
      if (early.waiting.length > 0) early.waiting.shift()(event);
      else early.held.push(event);
    });
  }
  if (early.held.length > 0) return Promise.resolve(early.held.shift());
  if (isEnded) return Promise.resolve(null);
  return new Promise((resolve) => {
    const rest = listen(() => {}); // who waits stays alive
    let timer;
    const settle = (event) => {
      clearTimeout(timer);
      onEnd.delete(giveUp);
      rest();
      resolve(event);
    };
    const giveUp = () => {
      early.waiting.splice(early.waiting.indexOf(settle), 1);
      settle(null);
    };
    early.waiting.push(settle);
    onEnd.add(giveUp);
    if (ms !== Infinity) timer = setTimeout(giveUp, ms);
  });
}

/** Takes events until `stop()`: handlers are called with or without it, and this says when they no longer are. */
let running;
function run() {
  if (running === undefined) {
    running = {};
    running.promise = new Promise((resolve) => {
      const rest = listen(() => {});
      running.stop = () => {
        rest();
        running = undefined;
        onEnd.delete(stop);
        resolve();
      };
    });
    onEnd.add(stop);
    if (isEnded) return stop() ?? Promise.resolve();
  }
  return running.promise;
}

/** Ends `run()`, and stops listening for all handlers: a program that does nothing else ends. */
function stop() {
  takers.clear();
  running?.stop();
  update();
}

/** Shows a picture: the bytes of a PNG or SVG, an SVG's text, or the path of such a file. */
function show(picture) {
  const isText = typeof picture === "string" && picture.trimStart().startsWith("<");
  const data = typeof picture === "string" && !isText ? fs.readFileSync(picture) : Buffer.from(picture);
  if (data.length > MAX_PICTURE_BYTES) {
    throw new RangeError(
      `the picture has ${data.length} bytes, and at most ${MAX_PICTURE_BYTES} can be shown: make it smaller`,
    );
  }
  let mimetype;
  if (data.subarray(0, 4).toString("latin1") === "\x89PNG") mimetype = "image/png";
  else if (data.subarray(0, 4096).includes("<svg")) mimetype = "image/svg+xml";
  else throw new TypeError("only PNG and SVG can be shown");
  send("image", { mimetype, data: data.toString("base64") });
}

module.exports = { send, on, events, nextEvent, run, stop, show };
// For the canvas, which is part of this; not for programs.
Object.defineProperty(module.exports, "internal", { value: { line, post, watch } });
