"use strict";

// Loaded by Node before a program (NODE_OPTIONS): puts the canvas in scope. A program's own names win.

const { isMainThread } = require("node:worker_threads");

if (isMainThread) {
  const canvas = require("./canvas.js");
  for (const [name, value] of Object.entries(canvas)) {
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
  }
  // A program is a module, so that it can `await frame()`; `require` works in it all the same.
  globalThis.require = require("node:module").createRequire("/code/");
}
