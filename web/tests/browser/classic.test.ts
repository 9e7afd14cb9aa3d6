/** The classic script, on pages that only know v0.1. */

import assert from "node:assert/strict";
import test from "node:test";
import type { Message } from "../../src/client/index.js";
import { setUp, classicPage, NetworkProxy, startV01Server, open } from "./harness.js";

/** Joins successive writes to one file, because no version promises how output is split. */
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
  "a file named stdin": {
    code: "print(sum(map(int, input().split())))",
    files: [{ filename: "stdin", contents: "40 2\n" }],
  },
  "no input": { code: "import sys\nprint(repr(sys.stdin.read()))" },
  "an error": { code: "import sys\nprint('before', flush=True)\nsys.exit('no!')" },
  "messages of its own": {
    code: `print('--MSG-- {"msgtype": "draw", "shape": "circle", "args": [1, 2, 3]}')\nprint('done')`,
  },
  "bytes that are not text": { code: "import os\nos.write(1, b'caf\\xc3\\xa9 \\xff')" },
  "files and a command": {
    code: "",
    files: [
      { filename: "start.py", contents: "import sys, os\nprint(sys.argv, os.environ['NAME'])" },
    ],
    command: ["python", "start.py", "x"],
    env: { NAME: "value" },
  },
  "an unknown runtime": { runtime: "cobol", code: "x" },
};

test("a v0.1 page of another origin gets exactly v0.1's messages, in several sessions", async (t) => {
  const { server, pages, context } = await setUp(t);
  const page = await open(t, context, pages.add(classicPage(server.url)));
  for (const [name, options] of Object.entries(PROGRAMS)) {
    const exec = { runtime: "python", ...options };
    const received = await page.evaluate((exec) => runClassic(exec), exec);
    // The expected messages are those that v0.1's websocket itself sends.
    const expected = await page.evaluate(
      ([url, text]) =>
        new Promise<Message[]>((resolve) => {
          const all: Message[] = [];
          const socket = new WebSocket(url as string);
          socket.onopen = () => socket.send(text as string);
          socket.onmessage = ({ data }) => {
            all.push(JSON.parse(data));
            if (["exitstatus", "error"].includes(all.at(-1)?.msgtype as string))
              (resolve(all), socket.close());
          };
        }),
      [`ws://127.0.0.1:${server.port}/livecode`, JSON.stringify({ msgtype: "exec", ...exec })],
    );
    assert.equal(JSON.stringify(joined(received)), JSON.stringify(joined(expected)), name);
    assert.ok(expected.length >= 2, name);
  }
  // The page cannot attach to these sessions again, so the server deletes all of them.
  for (let left = -1; left !== 0; left = (await server.sessions()).length);
});

test("a v0.1 page continues after its server was killed and restarted", async (t) => {
  const { server, pages, context } = await setUp(t);
  const page = await open(t, context, pages.add(classicPage(server.url)));
  const code = "import time\nfor n in range(40):\n    print(n)\n    time.sleep(0.1)";
  const run = page.evaluate((code) => runClassic({ runtime: "python", code }), code);
  await page.waitForFunction(() => messages.length > 8);
  await server.kill();
  await server.restart();
  const expected = Array.from({ length: 40 }, (_, n) => `${n}\n`).join("");
  assert.deepEqual(joined(await run), [
    { msgtype: "welcome", message: "welcome to livecode" },
    { msgtype: "write", file: "stdout", data: expected },
    { msgtype: "exitstatus", exitstatus: 0 },
  ]);
});

test("the script works with a server that only speaks v0.1", async (t) => {
  const { server, pages, context } = await setUp(t);
  const old = await startV01Server(t, server.port);
  const page = await open(t, context, pages.add(classicPage(server.url)));
  const received = await page.evaluate(
    (base_url) => runClassic({ base_url, runtime: "python", code: "print(6 * 7)" }),
    old,
  );
  assert.deepEqual(received, [
    { msgtype: "welcome", message: "welcome to livecode" },
    { msgtype: "write", file: "stdout", data: "42\n" },
    { msgtype: "exitstatus", exitstatus: 0 },
  ]);
  const refused = await page.evaluate(
    (base_url) => runClassic({ base_url, runtime: "cobol", code: "x" }),
    old,
  );
  assert.equal(refused.at(-1)?.msgtype, "error");
  assert.equal((await server.sessions()).length, 0, "no session was created");
});

test("closing a session ends its program", async (t) => {
  const { server, pages, context } = await setUp(t);
  const page = await open(t, context, pages.add(classicPage(server.url)));
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
    var recorded = [];
    function edit(options) {
      editor = new LiveCodeEditor(document.getElementById("editor"), { base_url, runtime: "python", ...options });
    }
  </script>`;

test("the editor runs a program, shows its output, stops, clears and resets", async (t) => {
  const { server, pages, context } = await setUp(t);
  const page = await open(t, context, pages.add(classicPage(server.url, EDITOR)));
  const output = page.locator(".output");
  const exited = (status: number) =>
    page.locator(`[data-state=ended][data-exitstatus="${status}"]`).waitFor();
  await page.evaluate(() =>
    edit({ events: { beforeRun: (editor) => recorded.push(editor === window.editor) } }),
  );

  await page.click(".run");
  await exited(0);
  assert.equal(await output.textContent(), "as it was\n");
  assert.deepEqual(await page.evaluate(() => recorded), [true]);

  // Output is shown as text, never as markup. Standard error has a style of its own.
  const markup = `<img src=x onerror="recorded.push('run')"><script>recorded.push('run')</script>`;
  await page.fill(
    ".code",
    `import sys\nprint(${JSON.stringify(markup)}, flush=True)\nsys.exit("<b>wrong</b>")`,
  );
  await page.press(".code", "Control+Enter");
  await exited(1);
  assert.equal(await output.textContent(), `${markup}\n<b>wrong</b>\n`);
  assert.equal(await page.textContent(".output .stderr"), "<b>wrong</b>\n");
  assert.equal(await page.locator(".output img, .output script, .output b").count(), 0);
  assert.equal(await page.evaluate(() => recorded.includes("run")), false);

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

test("the editor draws on the canvas, shows pictures, and calls the page's handlers", async (t) => {
  const { server, pages, context } = await setUp(t);
  const page = await open(t, context, pages.add(classicPage(server.url, EDITOR)));
  const dot =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
  const send = (message: object) => `print('--MSG--', ${JSON.stringify(JSON.stringify(message))})`;
  const lines = [
    send({ msgtype: "draw", shape: "circle", args: [100, 100, 50] }),
    send({
      msgtype: "draw",
      shape: "rect",
      args: [10, 10, 20, 20],
      style: { fill: "rgb(255,0,0)", stroke: "none" },
    }),
    send({ msgtype: "draw", shape: "constructor", args: [] }),
    send({ msgtype: "image", mimetype: "image/png", data: dot }),
    send({
      msgtype: "image",
      mimetype: "text/html",
      data: btoa("<script>recorded.push('run')</script>"),
    }),
    send({ msgtype: "play", note: "C4" }),
    send({ msgtype: "constructor" }),
  ];
  await page.evaluate(() => edit({ onMessage: { play: (_, message) => recorded.push(message) } }));
  await page.fill(".code", lines.join("\n"));
  await page.click(".run");
  await page.locator("[data-exitstatus='0']").waitFor();
  const pixel = (x: number, y: number) =>
    page.waitForFunction(
      ([x, y]) => {
        const data = document
          .querySelector("canvas")
          ?.getContext("2d")
          ?.getImageData(x as number, y as number, 1, 1).data;
        return data?.[3] && [...data];
      },
      [x, y],
    );
  assert.deepEqual(await (await pixel(20, 20)).jsonValue(), [255, 0, 0, 255]);
  // The outline of the circle passes through this pixel. The middle of the circle stays empty.
  await pixel(124, 100);
  const middle = await page.evaluate(
    () => document.querySelector("canvas")?.getContext("2d")?.getImageData(100, 100, 1, 1).data[3],
  );
  assert.equal(middle, 0);
  const images = page.locator(".output img");
  await images.first().waitFor();
  assert.equal(await images.count(), 1);
  assert.equal(
    await images.evaluate((image: HTMLImageElement) =>
      image.decode().then(() => image.naturalWidth),
    ),
    1,
  );
  assert.deepEqual(await page.evaluate(() => recorded), [{ msgtype: "play", note: "C4" }]);
});

test("a flood of output leaves the page responsive, and its end is shown", async (t) => {
  const { server, pages, context } = await setUp(t);
  const page = await open(t, context, pages.add(classicPage(server.url, EDITOR)));
  await page.evaluate(() => edit({}));
  await page.fill(".code", "for n in range(150_000): print(f'{n:>79}')");
  // Records the longest time between two frames while 12 MB arrive.
  await page.evaluate(() => {
    let last = performance.now();
    const measure = (now: number) => {
      recorded[0] = Math.max(Number(recorded[0] ?? 0), now - last);
      last = now;
      requestAnimationFrame(measure);
    };
    requestAnimationFrame(measure);
  });
  await page.click(".run");
  await page.locator("[data-exitstatus='0']").waitFor();
  const output = page.locator(".output");
  await output.filter({ hasText: "149999" }).waitFor();
  const text = (await output.textContent()) ?? "";
  assert.ok(text.startsWith("(earlier output is not shown)"), text.slice(0, 100));
  assert.ok(text.endsWith(" 149999\n") && text.length < 1_000_000, String(text.length));
  const [longest = 0] = (await page.evaluate(() => recorded)) as number[];
  t.diagnostic(`longest time between two frames: ${longest.toFixed(0)} ms`);
  assert.ok(longest < 2000, `${longest} ms without a frame`);
});

test("an editor continues to show its program after a reload", async (t) => {
  const { server, pages, context } = await setUp(t);
  const code = "import time\nfor n in range(30):\n    print(n)\n    time.sleep(0.1)";
  const body = `${EDITOR}<script>edit({ resume: "exercise-1" })</script>`;
  const page = await open(t, context, pages.add(classicPage(server.url, body)));
  assert.equal(
    await page.evaluate(() => editor.session),
    null,
    "there is no session to resume yet",
  );
  await page.fill(".code", code);
  await page.click(".run");
  await page.locator(".output").filter({ hasText: "5\n" }).waitFor();
  await page.reload();
  await page.locator("[data-state=ended]").waitFor();
  await page.locator(".output").filter({ hasText: "29" }).waitFor();
  assert.equal(
    await page.textContent(".output"),
    Array.from({ length: 30 }, (_, n) => `${n}\n`).join(""),
  );
  assert.equal((await server.sessions()).length, 1, "the session is the same one");
});

test("an editor continues when the network is back", async (t) => {
  const { server, pages, context } = await setUp(t);
  const proxy = await NetworkProxy.start(t, server.port);
  const page = await open(t, context, pages.add(classicPage(proxy.url, EDITOR)));
  await page.evaluate(() => edit({}));
  await page.fill(".code", "import time\nfor n in range(40):\n    print(n)\n    time.sleep(0.1)");
  await page.click(".run");
  await page.locator(".output").filter({ hasText: "3\n" }).waitFor();
  // `setOffline` alone does not cut websockets, so the proxy cuts them.
  proxy.block();
  await context.setOffline(true);
  await page.locator("[data-state=reconnecting]").waitFor();
  proxy.unblock();
  await context.setOffline(false);
  await page.locator("[data-state=live]").waitFor();
  await page.locator("[data-state=ended]").waitFor();
  await page.locator(".output").filter({ hasText: "39" }).waitFor();
  assert.equal(
    await page.textContent(".output"),
    Array.from({ length: 40 }, (_, n) => `${n}\n`).join(""),
  );
});
