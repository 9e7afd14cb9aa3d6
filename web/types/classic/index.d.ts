/**
 * The classic script `/static/livecode.js`. It is not a module, and defines the globals
 * `LiveCodeSession` and `LiveCodeEditor`.
 */
export {};
