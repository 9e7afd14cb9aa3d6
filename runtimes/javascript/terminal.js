"use strict";

// Loaded by Node before a program (NODE_OPTIONS): standard input behaves as on a terminal, though it is a pipe.
//
// Node reads ahead on a pipe, even after a program has paused its input or closed its readline interface, and then
// stays alive until the pipe ends. From a terminal it reads only when asked to: its high-water mark there is 0.

const getStdin = Object.getOwnPropertyDescriptor(process, "stdin").get;
let stdin;

Object.defineProperty(process, "stdin", {
  configurable: true,
  enumerable: true,
  // Opened when first used, as before: a program may read descriptor 0 itself.
  get() {
    if (stdin === undefined) {
      stdin = getStdin.call(process);
      if (stdin._readableState !== undefined) stdin._readableState.highWaterMark = 0;
    }
    return stdin;
  },
});
