const { execSync } = require("child_process");
const { createInterface } = require("readline");
const { Worker } = require("worker_threads");

function fail() {
  throw new Error("no such luck"); // HERE
}

const checks = {
  hello: () => console.log("Hello, World!"),
  stderr: () => console.error("oops"),
  exit: () => process.exit(3),
  echo: () => process.stdin.pipe(process.stdout),
  error: fail,
  process: () => process.stdout.write(execSync("echo process")),
  threads() {
    let sum = 0;
    let running = 4;
    for (let n = 1; n <= 4; n++) {
      const worker = new Worker(`require("worker_threads").parentPort.postMessage(${n})`, { eval: true });
      worker.on("message", (result) => (sum += result));
      worker.on("exit", () => --running || console.log(sum));
    }
  },
  lines() {
    for (let n = 1; n <= 100000; n++) console.log(n);
  },
  live() {
    console.log("live");
    setTimeout(() => {}, 60000);
  },
  prompt() {
    const input = createInterface({ input: process.stdin });
    process.stdout.write("name? ");
    input.once("line", (name) => {
      console.log("hello", name);
      input.close();
    });
  },
};
checks[process.argv[2]]();
