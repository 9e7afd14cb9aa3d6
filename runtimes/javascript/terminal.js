"use strict";

// Node loads this file before a program (NODE_OPTIONS). It makes standard input behave as on a
// terminal, although it is a pipe.
//
// From a pipe, Node reads ahead even after a program has paused its input or closed its readline
// interface, and then stays alive until the pipe ends. From a terminal it reads only on request:
// its high-water mark there is 0.

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
    }
    return stdin;
  },
});
