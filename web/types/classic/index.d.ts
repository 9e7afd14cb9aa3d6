/** The classic script `/static/livecode.js`: it is no module, and defines two globals. */
export {};
