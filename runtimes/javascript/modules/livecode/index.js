"use strict";

// Sends messages from a program to its viewers, and receives events from them.
//
//     const livecode = require("livecode");      // or: import livecode from "livecode";
//     livecode.send("draw", { shape: "circle", args: [100, 100, 50] });
//     livecode.on("mousemove", (data) => console.log(data));
//     for await (const { event, data } of livecode.events()) console.log(event, data);
//
// A message is a JSON object with a `msgtype`. The names of LiveCode's own messages are reserved.

const fs = require("node:fs");

const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
// Base64 encodes three bytes as four, and the message has some further fields.
const MAX_PICTURE_BYTES = Math.floor((MAX_MESSAGE_BYTES - 1024) / 4) * 3;
// A send fails if the channel is full and nothing is read from it for this time.
const SEND_TIMEOUT_MS = 5000;
const RESERVED = new Set(
  (
    "welcome pong goodbye write exitstatus error ack gap waiting queued case cases testresult " +
    "echo diagnostic resize"
  ).split(" "),
);

/** The descriptor of the message channel, which is a stream socket. */
function channel() {
  const fd = Number.parseInt(process.env.LIVECODE_FD ?? "", 10);
  if (Number.isNaN(fd)) throw new Error("there is no message channel: this program does not run in LiveCode");
  return fd;
}

// Sending

let unsent = Buffer.alloc(0); // the rest of a message whose send failed midway

/**
 * Sends a message, given as its `msgtype` and further fields, or as one object. Output that was
 * printed earlier also arrives earlier, since Node writes to pipes at once.
 */
function send(msgtype, fields = {}) {
  const isWhole = typeof msgtype === "object" && msgtype !== null;
  post(encodeLine(isWhole ? { ...msgtype, ...fields } : { msgtype, ...fields }));
}

/** Encodes a message as a line. Throws if a program may not send it. */
function encodeLine(message) {
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

/** Writes complete lines. If the channel is full, this waits until it has room. */
function post(lines) {
  const fd = channel();
  let left = unsent.length > 0 ? Buffer.concat([unsent, lines]) : lines;
  let deadline = 0;
  try {
    while (left.length > 0) {
      try {
        left = left.subarray(fs.writeSync(fd, left));
        deadline = 0;
      } catch (error) {
        if (error.code === "EPIPE" || error.code === "ECONNRESET") {
          left = left.subarray(left.length);
          throw new Error("the message channel is closed: messages can no longer be sent");
        }
        if (error.code !== "EAGAIN") throw error;
        if (deadline === 0) deadline = Date.now() + SEND_TIMEOUT_MS;
        if (Date.now() > deadline) {
          throw new Error(`the message channel is full, and nothing was read from it for ${SEND_TIMEOUT_MS / 1000} s`);
        }
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
      }
    }
  } finally {
    unsent = left;
  }
}

// Receiving

// Functions that get each event. While there is one, the program stays alive.
const listeners = new Set();
// Functions that get each event before the listeners. They do not keep the program alive.
const watchers = new Set();
let socket; // opened for the first listener or watcher
let isEnded = false;
const onEnd = new Set();

/**
 * Reads from the channel while there is a listener or watcher. Only listeners keep the program
 * alive.
 */
function update() {
  if (listeners.size === 0 && watchers.size === 0) {
    socket?.unref().pause();
    return;
  }
  if (socket === undefined) {
    const net = require("node:net"); // loaded only by programs that receive events
    // The socket must stay open after the last event, since messages are sent on it, too. It must
    // not read ahead of the listeners.
    const options = { readable: true, writable: false, allowHalfOpen: true, readableHighWaterMark: 0 };
    socket = new net.Socket({ fd: channel(), ...options });
    let partialLine = "";
    socket.setEncoding("utf8").on("data", (text) => {
      const lines = (partialLine + text).split("\n");
      partialLine = lines.pop();
      for (const line of lines) dispatch(JSON.parse(line));
    });
    const end = () => {
      isEnded = true;
      for (const callback of [...onEnd]) callback();
    };
    socket.on("end", end).on("error", end);
  }
  if (listeners.size > 0) socket.ref();
  else socket.unref();
  socket.resume();
}

/** Passes an event to all watchers and listeners. */
function dispatch(event) {
  for (const watcher of watchers) watcher(event);
  for (const listener of [...listeners]) listener(event);
}

/** Calls `listener` for each event, and returns a function that ends this. */
function listen(listener) {
  listeners.add(listener);
  update();
  return () => {
    listeners.delete(listener);
    update();
  };
}

/** Calls `watcher` for each event before all listeners, without keeping the program alive. */
function watch(watcher) {
  watchers.add(watcher);
  update();
}

/**
 * Calls `handler` with the data of each event of this name. Returns a function that removes it.
 */
function on(name, handler) {
  if (typeof handler !== "function") throw new TypeError(`the handler of ${name} must be a function`);
  return listen(({ event, data }) => {
    if (event === name) handler(data);
  });
}

const isMove = (event) => event?.event === "mousemove";

/** The events in order of arrival, as an asynchronous iterator. */
class Events {
  #queue = [];
  #pending = []; // the `resolve` functions of waiting calls of next()
  #stop;
  #isDone = false;
  #end = () => this.#finish();

  constructor({ coalesce = false } = {}) {
    this.#stop = listen((event) => {
      if (this.#pending.length > 0) this.#pending.shift()({ value: event, done: false });
      else if (coalesce && isMove(event) && isMove(this.#queue.at(-1))) this.#queue[this.#queue.length - 1] = event;
      else this.#queue.push(event);
    });
    onEnd.add(this.#end);
    if (isEnded) this.#finish();
  }

  #finish() {
    this.#isDone = true;
    onEnd.delete(this.#end);
    this.#stop();
    for (const resolve of this.#pending.splice(0)) resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  next() {
    if (this.#queue.length > 0) return Promise.resolve({ value: this.#queue.shift(), done: false });
    if (this.#isDone) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => this.#pending.push(resolve));
  }

  return() {
    this.#queue = [];
    this.#finish();
    return Promise.resolve({ value: undefined, done: true });
  }
}

/**
 * Iterates over the events in order of arrival. With `coalesce`, of successive mouse moves only
 * the last is returned.
 */
function events(options) {
  return new Events(options);
}

// Events that nextEvent() has not returned yet, and its calls that wait for one.
let eventQueue;

/**
 * Waits for the next event. Resolves to null if none arrives within `ms` milliseconds, or if no
 * event can arrive any more.
 */
function nextEvent(ms = Infinity) {
  if (eventQueue === undefined) {
    eventQueue = { events: [], waiting: [] };
    watch((event) => {
      if (eventQueue.waiting.length > 0) eventQueue.waiting.shift()(event);
      else eventQueue.events.push(event);
    });
  }
  if (eventQueue.events.length > 0) return Promise.resolve(eventQueue.events.shift());
  if (isEnded) return Promise.resolve(null);
  return new Promise((resolve) => {
    const stopListening = listen(() => {}); // keeps the program alive meanwhile
    let timer;
    const finish = (event) => {
      clearTimeout(timer);
      onEnd.delete(cancel);
      stopListening();
      resolve(event);
    };
    const cancel = () => {
      eventQueue.waiting.splice(eventQueue.waiting.indexOf(finish), 1);
      finish(null);
    };
    eventQueue.waiting.push(finish);
    onEnd.add(cancel);
    if (ms !== Infinity) timer = setTimeout(cancel, ms);
  });
}

let running;

/**
 * Keeps the program alive until `stop()`, and returns a promise that resolves then. Handlers are
 * called even without it.
 */
function run() {
  if (running === undefined) {
    running = {};
    running.promise = new Promise((resolve) => {
      const stopListening = listen(() => {});
      running.stop = () => {
        stopListening();
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

/** Ends `run()` and removes all handlers, so that a program that does nothing else ends. */
function stop() {
  listeners.clear();
  running?.stop();
  update();
}

/**
 * Shows a picture, given as the bytes of a PNG or SVG, as the text of an SVG, or as the path of a
 * file.
 */
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
// The canvas uses these functions; programs must not.
Object.defineProperty(module.exports, "internal", { value: { line: encodeLine, post, watch } });
