"use strict";

// Node loads this file before a program (NODE_OPTIONS). It makes standard input behave as on a
// terminal, although it is a pipe.
//
// From a pipe, Node reads ahead even after a program has paused its input or closed its readline
// interface, and then stays alive until the pipe ends. From a terminal it reads only on request:
// its high-water mark there is 0.
//
// It also says on the message channel when the event loop waits for standard input, which nobody
// sees from outside: Node waits for everything in one call.

const fs = require("node:fs");

const getStdin = Object.getOwnPropertyDescriptor(process, "stdin").get;
let stdin;

Object.defineProperty(process, "stdin", {
  configurable: true,
  enumerable: true,
  // The stream is opened when it is first used, as without this file: a program may read
  // descriptor 0 itself.
  get() {
    if (stdin === undefined) {
      stdin = getStdin.call(process);
      if (stdin._readableState !== undefined) stdin._readableState.highWaterMark = 0;
      tellWaits(stdin);
    }
    return stdin;
  },
});

/** Has LiveCode told when the program waits for `stdin`, if that is the pipe of a session. */
function tellWaits(stdin) {
  const channel = Number.parseInt(process.env.LIVECODE_FD ?? "", 10);
  // A process that Node has forked has its own channel under the same number.
  if (Number.isNaN(channel) || process.channel !== undefined) return;
  const inode = pipeInode();
  if (inode === undefined || typeof stdin._read !== "function") return;
  let isReading = false;
  let hasTold = false;

  const tell = (file) => {
    hasTold = file !== null;
    try {
      // The program may have closed the channel and opened a file of its own.
      if (!fs.fstatSync(channel).isSocket()) return;
      fs.writeSync(channel, `${JSON.stringify({ msgtype: "waiting", file, inode })}\n`);
    } catch {
      // The channel is closed or full. It is only a hint.
    }
  };

  const { _read, push } = stdin;
  stdin._read = function (...args) {
    _read.apply(this, args);
    if (isReading) return;
    isReading = true;
    // By then the event loop has looked for input once.
    setImmediate(() => isReading && tell("stdin"));
  };
  stdin.push = function (...args) {
    isReading = false;
    return push.apply(this, args);
  };
  stdin.on("pause", () => {
    isReading = false;
    if (hasTold) tell(null);
  });
}

/** The inode number of descriptor 0, if that is a pipe. */
function pipeInode() {
  try {
    const status = fs.fstatSync(0);
    return status.isFIFO() ? status.ino : undefined;
  } catch {
    return undefined;
  }
}
