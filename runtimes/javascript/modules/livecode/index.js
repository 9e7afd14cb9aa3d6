"use strict";

// Messages from a program to whoever watches it, and events back.
//
//     const livecode = require("livecode");      // or: import livecode from "livecode";
//     livecode.send("draw", { shape: "circle", args: [100, 100, 50] });
//     livecode.on("mousemove", (data) => console.log(data));
//     for await (const { event, data } of livecode.events()) console.log(event, data);
//
// A message is a JSON object with a `msgtype`; the names of LiveCode's own messages are refused.

const { EventEmitter } = require("node:events");
const fs = require("node:fs");
const net = require("node:net");
const { Readable } = require("node:stream");

/** The number of the message channel, a stream socket. */
function channel() {
  const fd = Number.parseInt(process.env.LIVECODE_FD ?? "", 10);
  if (Number.isNaN(fd)) throw new Error("there is no message channel: this program does not run in LiveCode");
  return fd;
}

/**
 * Sends a message, given as its `msgtype` and further fields, or whole as an object. What was printed before it arrives
 * before it: Node writes to pipes at once.
 */
function send(msgtype, fields = {}) {
  const message = typeof msgtype === "object" ? { ...msgtype, ...fields } : { msgtype, ...fields };
  let line = Buffer.from(JSON.stringify(message) + "\n");
  const fd = channel();
  while (line.length > 0) {
    try {
      line = line.subarray(fs.writeSync(fd, line));
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1); // the channel is full for a moment
    }
  }
}

const listeners = new EventEmitter().setMaxListeners(0);
let socket;

/** The socket that tells `listeners` what comes in. */
function incoming() {
  if (socket === undefined) {
    // It must outlive the last event, since messages go out on it too; and not read ahead of those who listen.
    const options = { readable: true, writable: false, allowHalfOpen: true, readableHighWaterMark: 0 };
    socket = new net.Socket({ fd: channel(), ...options });
    let held = "";
    socket.setEncoding("utf8").on("data", (text) => {
      const lines = (held + text).split("\n");
      held = lines.pop();
      for (const line of lines) listeners.emit("event", JSON.parse(line));
    });
    socket.on("end", () => listeners.emit("end"));
  }
  return socket;
}

/** Tells `take` each event until the function it returns is called. A program that listens stays alive. */
function listen(take) {
  incoming().ref().resume();
  listeners.on("event", take);
  return () => {
    listeners.off("event", take);
    if (listeners.listenerCount("event") === 0) incoming().unref().pause();
  };
}

/** Calls `handler` with the data of each event of this name, until the function it returns is called. */
function on(name, handler) {
  return listen(({ event, data }) => {
    if (event === name) handler(data);
  });
}

/** The events, as they come. */
function events() {
  const taken = new Readable({ objectMode: true, read() {} });
  const end = () => taken.push(null);
  const stop = listen((event) => taken.push(event));
  listeners.once("end", end);
  taken.once("close", () => {
    stop();
    listeners.off("end", end);
  });
  return taken[Symbol.asyncIterator]();
}

module.exports = { send, on, events };
