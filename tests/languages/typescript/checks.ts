import { execSync } from "node:child_process";
import { createInterface } from "node:readline";
import { Worker } from "node:worker_threads";

interface Failure {
  text: string;
}

function fail(failure: Failure): never {
  throw new Error(failure.text); // HERE
}

const checks: Record<string, () => void> = {
  hello: () => console.log("Hello, World!"),
  stderr: () => console.error("oops"),
  exit: () => process.exit(3),
  echo: () => process.stdin.pipe(process.stdout),
  error: () => fail({ text: "no such luck" }),
  process: () => process.stdout.write(execSync("echo process")),
  threads() {
    let sum = 0;
    let running = 4;
    for (let n = 1; n <= 4; n++) {
      const worker = new Worker(`require("worker_threads").parentPort.postMessage(${n})`, { eval: true });
      worker.on("message", (result: number) => (sum += result));
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
    input.once("line", (name: string) => {
      console.log("hello", name);
      input.close();
    });
  },
};
const name = process.argv[2] ?? "";
checks[name]?.();
