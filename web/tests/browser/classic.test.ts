/** The classic script, on pages that know v0.1's options alone. */

import assert from "node:assert/strict";
import test from "node:test";
import type { Message } from "../../src/client/index.js";
import { bench, classicPage, Gate, oldServer, open } from "./harness.js";

/** Neighbouring writes to one file as one: how output is cut is nobody's promise. */
function joined(messages: Message[]): Message[] {
  const all: Message[] = [];
  for (const message of messages) {
    const last = all.at(-1);
    if (message.msgtype === "write" && last?.msgtype === "write" && last.file === message.file) {
      last.data = `${last.data}${message.data}`;
    } else all.push({ ...message });
  }
  return all;
}

const PROGRAMS: Record<string, object> = {
  output: { code: "print('hello, world!')" },
  "a file named stdin": { code: "print(sum(map(int, input().split())))", files: [{ filename: "stdin", contents: "40 2\n" }] },
  "no input": { code: "import sys\nprint(repr(sys.stdin.read()))" },
  "an error": { code: "import sys\nprint('before', flush=True)\nsys.exit('no!')" },
  "messages of its own": { code: `print('--MSG-- {"msgtype": "draw", "shape": "circle", "args": [1, 2, 3]}')\nprint('done')` },
  "bytes that are no text": { code: "import os\nos.write(1, b'caf\\xc3\\xa9 \\xff')" },
  "files and a command": {
    code: "",
    files: [{ filename: "start.py", contents: "import sys, os\nprint(sys.argv, os.environ['NAME'])" }],
    command: ["python", "start.py", "x"],
    env: { NAME: "value" },
  },
  "a runtime that is none": { runtime: "cobol", code: "x" },
};

test("an old page of another origin sees exactly v0.1's messages, one session after another", async (t) => {
  const { server, pages, context } = await bench(t);
  const page = await open(t, context, pages.put(classicPage(server.url)));
  for (const [name, options] of Object.entries(PROGRAMS)) {
    const exec = { runtime: "python", ...options };
    const heard = await page.evaluate((exec) => runOld(exec), exec);
    // What the old websocket itself says, to the letter.
    const expected = await page.evaluate(
      ([url, text]) =>
        new Promise<Message[]>((resolve) => {
          const all: Message[] = [];
          const socket = new WebSocket(url as string);
          socket.onopen = () => socket.send(text as string);
          socket.onmessage = ({ data }) => {
            all.push(JSON.parse(data));
            if (["exitstatus", "error"].includes(all.at(-1)?.msgtype as string)) resolve(all), socket.close();
          };
        }),
      [`ws://127.0.0.1:${server.port}/livecode`, JSON.stringify({ msgtype: "exec", ...exec })],
    );
    assert.equal(JSON.stringify(joined(heard)), JSON.stringify(joined(expected)), name);
    assert.ok(expected.length >= 2, name);
  }
  // Nobody comes back to these: none is kept.
  for (let left = -1; left !== 0; left = (await server.sessions()).length);
});

test("an old page goes on where a server that was killed left off", async (t) => {
  const { server, pages, context } = await bench(t);
  const page = await open(t, context, pages.put(classicPage(server.url)));
  const code = "import time\nfor n in range(40):\n    print(n)\n    time.sleep(0.1)";
  const run = page.evaluate((code) => runOld({ runtime: "python", code }), code);
  await page.waitForFunction(() => messages.length > 8);
  await server.kill();
  await server.startAgain();
  const expected = Array.from({ length: 40 }, (_, n) => `${n}\n`).join("");
  assert.deepEqual(joined(await run), [
    { msgtype: "welcome", message: "welcome to livecode" },
    { msgtype: "write", file: "stdout", data: expected },
    { msgtype: "exitstatus", exitstatus: 0 },
  ]);
});

test("a server that knows v0.1 alone serves the script all the same", async (t) => {
  const { server, pages, context } = await bench(t);
  const old = await oldServer(t, server.port);
  const page = await open(t, context, pages.put(classicPage(server.url)));
  const heard = await page.evaluate((base_url) => runOld({ base_url, runtime: "python", code: "print(6 * 7)" }), old);
  assert.deepEqual(heard, [
    { msgtype: "welcome", message: "welcome to livecode" },
    { msgtype: "write", file: "stdout", data: "42\n" },
    { msgtype: "exitstatus", exitstatus: 0 },
  ]);
  const refused = await page.evaluate((base_url) => runOld({ base_url, runtime: "cobol", code: "x" }), old);
  assert.equal(refused.at(-1)?.msgtype, "error");
  assert.equal((await server.sessions()).length, 0, "none was made");
});

test("closing ends the program", async (t) => {
  const { server, pages, context } = await bench(t);
  const page = await open(t, context, pages.put(classicPage(server.url)));
  await page.evaluate(
    () =>
      new Promise<void>((resolve) => {
        const session = new LiveCodeSession({
          base_url,
          runtime: "python",
          code: "import time\nprint('up')\ntime.sleep(9)",
          onMessage(message) {
            if (message.msgtype !== "write") return;
            session.close();
            resolve();
          },
        });
      }),
  );
  for (let left = -1; left !== 0; left = (await server.sessions()).length);
});

const EDITOR = `
  <div id="editor">
    <textarea class="code">print("as it was")</textarea>
    <button class="run">Run</button><button class="stop">Stop</button>
    <button class="clear">Clear</button><button class="reset">Reset</button>
    <pre class="output"></pre><canvas class="canvas" width="200" height="200"></canvas>
  </div>
  <script>
    var told = [];
    function edit(options) {
      editor = new LiveCodeEditor(document.getElementById("editor"), { base_url, runtime: "python", ...options });
    }
  </script>`;

test("the editor runs, shows, stops, clears and resets", async (t) => {
  const { server, pages, context } = await bench(t);
  const page = await open(t, context, pages.put(classicPage(server.url, EDITOR)));
  const output = page.locator(".output");
  const exited = (status: number) => page.locator(`[data-state=ended][data-exitstatus="${status}"]`).waitFor();
  await page.evaluate(() => edit({ events: { beforeRun: (editor) => told.push(editor === window.editor) } }));

  await page.click(".run");
  await exited(0);
  assert.equal(await output.textContent(), "as it was\n");
  assert.deepEqual(await page.evaluate(() => told), [true]);

  // Output is text, whatever it says; the error is told apart.
  const markup = `<img src=x onerror="told.push('run')"><script>told.push('run')</script>`;
  await page.fill(".code", `import sys\nprint(${JSON.stringify(markup)}, flush=True)\nsys.exit("<b>wrong</b>")`);
  await page.press(".code", "Control+Enter");
  await exited(1);
  assert.equal(await output.textContent(), `${markup}\n<b>wrong</b>\n`);
  assert.equal(await page.textContent(".output .stderr"), "<b>wrong</b>\n");
  assert.equal(await page.locator(".output img, .output script, .output b").count(), 0);
  assert.equal(await page.evaluate(() => told.includes("run")), false);

  await page.fill(".code", "import time\nprint('up')\ntime.sleep(9)");
  await page.click(".run");
  await output.filter({ hasText: "up" }).waitFor();
  await page.click(".stop");
  await exited(137);

  await page.click(".clear");
  assert.equal(await output.textContent(), "");
  await page.click(".reset");
  assert.equal(await page.inputValue(".code"), 'print("as it was")');
});

test("the editor draws on the canvas, shows pictures as pictures, and leaves messages to the page's handlers", async (t) => {
  const { server, pages, context } = await bench(t);
  const page = await open(t, context, pages.put(classicPage(server.url, EDITOR)));
  const dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
  const send = (message: object) => `print('--MSG--', ${JSON.stringify(JSON.stringify(message))})`;
  const lines = [
    send({ msgtype: "draw", shape: "circle", args: [100, 100, 50] }),
    send({ msgtype: "draw", shape: "rect", args: [10, 10, 20, 20], style: { fill: "rgb(255,0,0)", stroke: "none" } }),
    send({ msgtype: "draw", shape: "constructor", args: [] }),
    send({ msgtype: "image", mimetype: "image/png", data: dot }),
    send({ msgtype: "image", mimetype: "text/html", data: btoa("<script>told.push('run')</script>") }),
    send({ msgtype: "play", note: "C4" }),
    send({ msgtype: "constructor" }),
  ];
  await page.evaluate(() => edit({ onMessage: { play: (_, message) => told.push(message) } }));
  await page.fill(".code", lines.join("\n"));
  await page.click(".run");
  await page.locator("[data-exitstatus='0']").waitFor();
  const pixel = (x: number, y: number) =>
    page.waitForFunction(
      ([x, y]) => {
        const data = document.querySelector("canvas")?.getContext("2d")?.getImageData(x as number, y as number, 1, 1).data;
        return data?.[3] && [...data];
      },
      [x, y],
    );
  assert.deepEqual(await (await pixel(20, 20)).jsonValue(), [255, 0, 0, 255]);
  // A circle of diameter 50 passes here; its middle stays empty.
  await pixel(124, 100);
  const middle = await page.evaluate(() => document.querySelector("canvas")?.getContext("2d")?.getImageData(100, 100, 1, 1).data[3]);
  assert.equal(middle, 0);
  const images = page.locator(".output img");
  await images.first().waitFor();
  assert.equal(await images.count(), 1);
  assert.equal(await images.evaluate((image: HTMLImageElement) => image.decode().then(() => image.naturalWidth)), 1);
  assert.deepEqual(await page.evaluate(() => told), [{ msgtype: "play", note: "C4" }]);
});

test("a flood leaves the page responsive, and the last of it on the page", async (t) => {
  const { server, pages, context } = await bench(t);
  const page = await open(t, context, pages.put(classicPage(server.url, EDITOR)));
  await page.evaluate(() => edit({}));
  await page.fill(".code", "for n in range(150_000): print(f'{n:>79}')");
  // The longest time between two pictures while 12 MB arrive.
  await page.evaluate(() => {
    let last = performance.now();
    const look = (now: number) => {
      told[0] = Math.max(Number(told[0] ?? 0), now - last);
      last = now;
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
  await page.click(".run");
  await page.locator("[data-exitstatus='0']").waitFor();
  const output = page.locator(".output");
  await output.filter({ hasText: "149999" }).waitFor();
  const text = (await output.textContent()) ?? "";
  assert.ok(text.startsWith("(earlier output is not shown)"), text.slice(0, 100));
  assert.ok(text.endsWith(" 149999\n") && text.length < 1_000_000, String(text.length));
  const [longest = 0] = (await page.evaluate(() => told)) as number[];
  t.diagnostic(`longest time between two pictures: ${longest.toFixed(0)} ms`);
  assert.ok(longest < 2000, `${longest} ms without a picture`);
});

test("an editor takes its program up again after a reload", async (t) => {
  const { server, pages, context } = await bench(t);
  const code = "import time\nfor n in range(30):\n    print(n)\n    time.sleep(0.1)";
  const body = `${EDITOR}<script>edit({ resume: "exercise-1" })</script>`;
  const page = await open(t, context, pages.put(classicPage(server.url, body)));
  assert.equal(await page.evaluate(() => editor.session), null, "there is nothing to take up yet");
  await page.fill(".code", code);
  await page.click(".run");
  await page.locator(".output").filter({ hasText: "5\n" }).waitFor();
  await page.reload();
  await page.locator("[data-state=ended]").waitFor();
  await page.locator(".output").filter({ hasText: "29" }).waitFor();
  assert.equal(await page.textContent(".output"), Array.from({ length: 30 }, (_, n) => `${n}\n`).join(""));
  assert.equal((await server.sessions()).length, 1, "it is the same one");
});

test("an editor goes on when the network is back", async (t) => {
  const { server, pages, context } = await bench(t);
  const gate = await Gate.to(t, server.port);
  const page = await open(t, context, pages.put(classicPage(gate.url, EDITOR)));
  await page.evaluate(() => edit({}));
  await page.fill(".code", "import time\nfor n in range(40):\n    print(n)\n    time.sleep(0.1)");
  await page.click(".run");
  await page.locator(".output").filter({ hasText: "3\n" }).waitFor();
  // The browser's word alone leaves websockets as they are.
  gate.shut();
  await context.setOffline(true);
  await page.locator("[data-state=reconnecting]").waitFor();
  gate.open();
  await context.setOffline(false);
  await page.locator("[data-state=live]").waitFor();
  await page.locator("[data-state=ended]").waitFor();
  await page.locator(".output").filter({ hasText: "39" }).waitFor();
  assert.equal(await page.textContent(".output"), Array.from({ length: 40 }, (_, n) => `${n}\n`).join(""));
});
