// Node tries to use io_uring and must work without it.
const fs = require("fs");
fs.promises.readFile("/etc/passwd").then(() => setTimeout(() => console.log("held"), 1));
