"use strict";

// Node loads this file before a program (NODE_OPTIONS). It defines the canvas's functions as
// global names, which a program may redefine.

const { isMainThread } = require("node:worker_threads");

if (isMainThread) {
  const canvas = require("./canvas.js");
  for (const [name, value] of Object.entries(canvas)) {
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
  }
  // A program is an ES module, so that it can `await frame()`. This makes `require` work in it,
  // too.
  globalThis.require = require("node:module").createRequire("/code/");
}
