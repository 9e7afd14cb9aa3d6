"use strict";

// Messages from a program to whoever watches it, and events back.
//
//     const livecode = require("livecode");
//     livecode.send("draw", { shape: "circle", args: [100, 100, 50] });
//     livecode.on("mousemove", (data) => console.log(data));
//     for await (const event of livecode.events()) console.log(event.event, event.data);
//
// A message is a JSON object with a `msgtype`; the names of LiveCode's own messages are refused.

const fs = require("node:fs");
const net = require("node:net");
const readline = require("node:readline");

/** The number of the message channel. */
function channel() {
  const fd = Number.parseInt(process.env.LIVECODE_FD ?? "", 10);
  if (Number.isNaN(fd)) throw new Error("there is no message channel: this program does not run in LiveCode");
  return fd;
}

/** Sends a message. What was printed before it arrives before it: Node writes to pipes at once. */
function send(msgtype, fields = {}) {
  let line = Buffer.from(JSON.stringify({ msgtype, ...fields }) + "\n");
  const fd = channel();
  while (line.length > 0) {
    try {
      line = line.subarray(fs.writeSync(fd, line));
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1); // the channel is full for the moment
    }
  }
}

let lines;

/** The lines that come in. Reading them keeps the program alive. */
function incoming() {
  lines ??= readline.createInterface({ input: new net.Socket({ fd: channel() }) });
  return lines;
}

/** Calls `handler` with an event's data whenever one of this name comes. */
function on(name, handler) {
  incoming().on("line", (line) => {
    const event = JSON.parse(line);
    if (event.event === name) handler(event.data);
  });
}

/** The events, as they come. */
async function* events() {
  for await (const line of incoming()) yield JSON.parse(line);
}

module.exports = { send, on, events };
