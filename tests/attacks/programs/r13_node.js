// Node asks for io_uring and must live without.
const fs = require("fs");
fs.promises.readFile("/etc/passwd").then(() => setTimeout(() => console.log("held"), 1));
