const { greet } = require("./greeting.cjs");

greet("module");
