/** The element `<live-code>`, and pages whose `<pre>` elements become editors. */

import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import type { Page } from "playwright-core";
import { findAxeViolations, setUp, open } from "./harness.js";

const tag = (server: string, attributes = "") =>
  `<html lang="en"><meta name="color-scheme" content="light dark"><title>A page</title><script src="${server}/static/livecode.js" ${attributes}></script>`;
const output = (page: Page) => page.locator("live-code .output");
const waitForStatus = (page: Page, text: string) =>
  page.locator("live-code .status").filter({ hasText: text }).waitFor();

async function setUpPage(t: TestContext, body: string, attributes = "") {
  const { server, pages, context } = await setUp(t);
  const page = await open(
    t,
    context,
    pages.add(`${tag(server.url, attributes)}<main>${body}</main>`),
  );
  await page.locator("live-code .run").first().waitFor();
  return { server, page, context };
}

test("an editor shows coloured output, asks for input, and describes the program's end", async (t) => {
  const code = `
    <live-code runtime="python">
      name = input("name? ")
      print(f"\\x1b[32mhello\\x1b[0m {name} &lt;b&gt;")
      raise SystemExit(3)
    </live-code>`;
  const { page } = await setUpPage(t, code);
  await page.locator(".cm-content .tok-keyword").filter({ hasText: "raise" }).waitFor();
  const began = Date.now();
  await page.click("live-code .run");
  await output(page).filter({ hasText: "name? " }).waitFor();
  t.diagnostic(`from click to first output: ${Date.now() - began} ms`);
  await page.getByLabel("Input for the program").fill("Ada");
  await page.keyboard.press("Enter");
  await waitForStatus(page, "ended with exit status 3");
  await output(page).filter({ hasText: "Ada <b>" }).waitFor();
  assert.equal(await output(page).textContent(), "name? Ada\nhello Ada <b>\n");
  assert.equal(await page.textContent("live-code .output .green"), "hello");
  assert.equal(await page.isVisible("live-code form"), false);
});

test("an editor stops a program, runs the edited code, and resets it", async (t) => {
  const { page, server } = await setUpPage(
    t,
    "<live-code>import time\nprint('up')\ntime.sleep(60)</live-code>",
  );
  await page.click("live-code .run");
  await output(page).filter({ hasText: "up" }).waitFor();
  await page.click("live-code .stop");
  await waitForStatus(page, "stopped");
  await page.locator(".cm-content").fill("print('mine')");
  await page.keyboard.press("Control+Enter");
  await waitForStatus(page, "finished");
  assert.equal(await output(page).textContent(), "mine\n");
  await page.click("live-code .reset");
  assert.match((await page.locator(".cm-content").textContent()) ?? "", /^import time/);
  // The server keeps no session.
  for (let left = -1; left !== 0; left = (await server.sessions()).length);
});

test("several files become tabs, and all files are sent", async (t) => {
  const files = `<live-code><pre data-filename="main.py">import other\nprint(other.n, open("data.txt").read())</pre>
    <pre data-filename="other.py">n = 1</pre><pre data-filename="data.txt">data</pre></live-code>`;
  const { page } = await setUpPage(t, files);
  await page.getByRole("tab", { name: "other.py" }).click();
  await page.locator(".cm-content").fill("n = 2");
  await page.keyboard.press("Escape");
  await page.getByRole("tab", { name: "other.py" }).focus();
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.locator(".cm-content").textContent(), "data");
  await page.click("live-code .run");
  await waitForStatus(page, "finished");
  assert.equal(await output(page).textContent(), "2 data\n");
});

test("a ball follows the mouse, on a layer of its own", async (t) => {
  const code = `
import livecode
draw = lambda shape, *args, **more: livecode.send("draw", shape=shape, args=args, **more)
draw("size", 200, 100)
draw("background", "rgb(0,0,255)")
draw("frame")
for event in livecode.events():
    if event["event"] == "click": break
    if event["event"] != "mousemove": continue
    draw("clear", layer=1)
    draw("circle", event["data"]["x"], event["data"]["y"], 20, layer=1, style={"fill": "rgb(255,0,0)"})
    draw("frame")
livecode.send("table", columns=["n"], rows=[["<b>"]])
livecode.send("image", mimetype="text/html", data="eA==")
`;
  const { page } = await setUpPage(t, `<live-code>${code.replaceAll("<", "&lt;")}</live-code>`);
  await page.click("live-code .run");
  const canvas = page.locator("live-code .canvas canvas").first();
  await canvas.waitFor();
  await page.waitForFunction(
    () => document.querySelector("live-code")?.shadowRoot?.querySelector("canvas")?.width === 200,
  );
  const place = await canvas.boundingBox();
  assert.ok(place);
  for (const x of [20, 60, 100]) await page.mouse.move(place.x + x, place.y + 50);
  const colour = (layer: number, x: number) =>
    page.waitForFunction(
      ([layer, x]) => {
        const canvas = document.querySelector("live-code")?.shadowRoot?.querySelectorAll("canvas")[
          layer as number
        ];
        const data = canvas?.getContext("2d")?.getImageData(x as number, 50, 1, 1).data;
        return data?.[3] && [...data];
      },
      [layer, x],
    );
  assert.deepEqual(await (await colour(1, 100)).jsonValue(), [255, 0, 0, 255]);
  assert.deepEqual(await (await colour(0, 100)).jsonValue(), [0, 0, 255, 255]);
  await page.mouse.click(place.x + 100, place.y + 50);
  await waitForStatus(page, "finished");
  assert.equal(await page.locator("live-code .output td").textContent(), "<b>");
  assert.equal(await page.locator("live-code .output img").count(), 0);
});

test("a python-canvas program draws, and reacts to the mouse and the keys", async (t) => {
  const code = `
size(200, 100)
fill("rgb(0,0,255)")
stroke(None)
translate(100, 0)
rect(0, 0, 100, 100)

@on_click
def click(x, y):
    fill(0, 255, 0)
    circle(x - 100, y, 20)

@on_key_down
def key(name):
    print(name)
    stop()

run()
`;
  const { page } = await setUpPage(t, `<live-code runtime="python-canvas">${code}</live-code>`);
  await page.click("live-code .run");
  const canvas = page.locator("live-code .canvas canvas").first();
  const colour = (x: number, expected: number[]) =>
    page.waitForFunction(
      ([x, expected]) => {
        const canvas = document.querySelector("live-code")?.shadowRoot?.querySelector("canvas");
        return (
          canvas
            ?.getContext("2d")
            ?.getImageData(x as number, 50, 1, 1)
            .data.join() === expected
        );
      },
      [x, expected.join()],
    );
  await colour(150, [0, 0, 255, 255]);
  await colour(50, [0, 0, 0, 0]);
  await canvas.click({ position: { x: 50, y: 50 }, force: true });
  await colour(50, [0, 255, 0, 255]);
  await page.keyboard.press("ArrowLeft");
  await waitForStatus(page, "finished");
  assert.equal(await output(page).textContent(), "ArrowLeft\n");
});

test("the shapes of a joy program are drawn around the middle, unless the page draws them", async (t) => {
  const code = `
show(rectangle(w=20, h=20, fill="rgb(0,0,255)", stroke="none") | translate(x=50) | rotate(90) | scale(2))
`;
  const { page } = await setUpPage(t, `<live-code runtime="joy">${code}</live-code>`);
  await page.click("live-code .run");
  // The square is 100 pixels above the middle, and 40 pixels wide.
  const colours = () =>
    page.evaluate(() => {
      const root = document.querySelector("live-code")?.shadowRoot;
      const context = root?.querySelector("canvas")?.getContext("2d");
      const at = (x: number, y: number) => context?.getImageData(x, y, 1, 1).data.join();
      return [at(200, 100), at(185, 115), at(200, 200), at(200, 300), at(225, 100)];
    });
  const [blue, none] = ["0,0,255,255", "0,0,0,0"];
  await page.waitForFunction(() => document.querySelector("live-code")?.shadowRoot?.querySelector("canvas"));
  await waitForStatus(page, "finished");
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve))));
  assert.deepEqual(await colours(), [blue, blue, none, none, none]);

  await page.evaluate(() => {
    document.querySelector("live-code")?.addEventListener("livecode-message", (event) => {
      event.preventDefault();
      if ((event as CustomEvent).detail.msgtype === "shape") document.title = "a shape came";
    });
  });
  await page.click("live-code .run");
  await page.waitForFunction(() => document.title === "a shape came");
  await waitForStatus(page, "finished");
  assert.equal(await page.locator("live-code canvas").count(), 0);
});

test("an animation is drawn with more than 30 frames", async (t) => {
  const code = `
import livecode, time
for n in range(180):
    livecode.send("draw", shape="clear", args=[])
    livecode.send("draw", shape="circle", args=[n, 100, 20])
    livecode.send("draw", shape="frame", args=[])
    time.sleep(1 / 60)
`;
  const { page } = await setUpPage(t, `<live-code>${code}</live-code>`);
  await page.evaluate(() => {
    // Counts the frames in which the page draws.
    const own = CanvasRenderingContext2D.prototype.stroke;
    const times = new Set<number>();
    CanvasRenderingContext2D.prototype.stroke = function (this: CanvasRenderingContext2D) {
      times.add(Number(document.timeline.currentTime));
      Object.assign(window, { pictures: times.size });
      (own as () => void).call(this);
    } as typeof own;
  });
  const began = Date.now();
  await page.click("live-code .run");
  await waitForStatus(page, "finished");
  const pictures = await page.evaluate(() => (window as unknown as { pictures: number }).pictures);
  t.diagnostic(`${pictures} pictures in ${Date.now() - began} ms of a program that sends 180`);
  assert.ok(pictures > 30, `${pictures} pictures`);
});

test("one script tag turns plain <pre> elements into editors", async (t) => {
  const body = `<pre>print(1 + 1)</pre><p>and</p><pre><code class="language-bash">echo $((2 + 3))</code></pre>`;
  const { page } = await setUpPage(t, body, `data-runtime="python"`);
  const editors = page.locator("live-code");
  assert.equal(await editors.count(), 2);
  for (const [index, expected] of ["2\n", "5\n"].entries()) {
    await editors.nth(index).locator(".run").click();
    await editors.nth(index).locator(".status").filter({ hasText: "finished" }).waitFor();
    assert.equal(await editors.nth(index).locator(".output").textContent(), expected);
  }
  assert.equal(await page.locator("pre").count(), 0);
});

test("an editor with a resume name continues to show its program after a reload", async (t) => {
  const code = "import time\nfor n in range(30):\n    print(n)\n    time.sleep(0.1)";
  const { page } = await setUpPage(t, `<live-code resume="one">${code}</live-code>`);
  await page.click("live-code .run");
  await output(page).filter({ hasText: "5\n" }).waitFor();
  await page.reload();
  await waitForStatus(page, "finished");
  await output(page).filter({ hasText: "29\n" }).waitFor();
  assert.equal(
    await output(page).textContent(),
    Array.from({ length: 30 }, (_, n) => `${n}\n`).join(""),
  );
});

test("leaving a page ends its program", async (t) => {
  const { page, server } = await setUpPage(
    t,
    "<live-code>import time\nprint('up')\ntime.sleep(60)</live-code>",
  );
  await page.click("live-code .run");
  await output(page).filter({ hasText: "up" }).waitFor();
  assert.equal((await server.sessions()).length, 1);
  await page.goto("about:blank");
  for (let left = -1; left !== 0; left = (await server.sessions()).length);
});

test("an editor works under a strict Content-Security-Policy", async (t) => {
  const { server, pages, context } = await setUp(t);
  const own = server.url;
  const policy = `default-src 'none'; script-src ${own}; connect-src ${own} ${own.replace("http", "ws")}; img-src data:; style-src 'none'`;
  const head = `<meta http-equiv="Content-Security-Policy" content="${policy}"><script src="${own}/static/livecode.js"></script>`;
  const dot =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
  const code = `import livecode\nlivecode.send("image", mimetype="image/png", data="${dot}")\nprint("\\x1b[31mred")`;
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  await page.goto(pages.add(`${head}<live-code>${code}</live-code>`));
  await page.click("live-code .run");
  await waitForStatus(page, "finished");
  await output(page).filter({ hasText: "red" }).waitFor();
  const image = page.locator("live-code .output img");
  assert.equal(
    await image.evaluate((image: HTMLImageElement) =>
      image.decode().then(() => image.naturalWidth),
    ),
    1,
  );
  const colour = await page
    .locator("live-code .output .red")
    .evaluate((element) => getComputedStyle(element).color);
  assert.equal(colour, "rgb(179, 38, 30)", "the editor's own style applies");
  assert.deepEqual(problems, []);
});

test("axe finds no violation in an editor, in both colour schemes", async (t) => {
  const files = `<h1>A page</h1><live-code><pre data-filename="main.py"># words
def f(x): return "text" + str(x + 1)
print("out \\x1b[31mred\\x1b[0m \\x1b[32mgreen\\x1b[33myellow\\x1b[34mblue")
import sys; print("err", file=sys.stderr)
input("more? ")</pre><pre data-filename="b.py">b</pre></live-code>`;
  const { page } = await setUpPage(t, files);
  await page.click("live-code .run");
  await output(page).filter({ hasText: "more?" }).waitFor();
  assert.deepEqual(await findAxeViolations(page), []);
});
