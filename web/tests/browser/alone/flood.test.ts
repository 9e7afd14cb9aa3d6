/**
 * The front page, with programs that send more than a user can read. These tests measure how
 * responsive the page is, so they do not run in parallel with other tests.
 */

import assert from "node:assert/strict";
import test from "node:test";
import type { Page } from "playwright-core";
import {
  setUpFrontPage as setUp,
  waitForColour,
  output,
  waitForStatus,
  writeProgram,
} from "../harness.js";

/** Starts to record the longest time in which the page did not respond, in milliseconds. */
const recordPauses = (page: Page) =>
  page.evaluate(() => {
    const pauses = { longest: 0, last: performance.now() };
    setInterval(() => {
      const now = performance.now();
      pauses.longest = Math.max(pauses.longest, now - pauses.last);
      pauses.last = now;
    }, 10);
    Object.assign(window, { pauses });
  });
const longestPause = (page: Page) =>
  page.evaluate(() => (window as unknown as { pauses: { longest: number } }).pauses.longest);

test("a flood of 50 MB leaves the page responsive", async (t) => {
  const { page } = await setUp(t);
  await writeProgram(
    page,
    "python-canvas",
    'import sys\nblock = ("x" * 99 + "\\n") * 1000\nfor _ in range(500): sys.stdout.write(block)\nprint("the end")',
  );
  await recordPauses(page);
  const began = Date.now();
  await page.click("live-code .run");
  await page.locator(".trimmed").waitFor();
  // The user can type during the flood.
  await page.locator(".cm-content").fill("typed meanwhile");
  await page.locator(".cm-content").filter({ hasText: "typed meanwhile" }).waitFor();
  await waitForStatus(page, "finished");
  await output(page).filter({ hasText: "the end" }).waitFor();
  const seconds = (Date.now() - began) / 1000;
  const longest = await longestPause(page);
  t.diagnostic(
    `50 MB in ${seconds.toFixed(1)} s, the longest pause of the page ${Math.round(longest)} ms`,
  );
  assert.ok(longest < 1000, `the page did not respond for ${longest} ms`);
  const kept = ((await output(page).textContent()) ?? "").length;
  assert.ok(kept > 100_000 && kept < 2_000_000, `${kept} characters are kept`);
});

test("a flood of all kinds of messages leaves the page responsive", async (t) => {
  const { page } = await setUp(t);
  const code = `
import base64, livecode
draw = [b'{"msgtype":"draw","shape":"circle","args":[%d,100,50]}' % n for n in range(200)]
image = base64.b64encode(b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>").decode()
table = [[n * m for m in range(50)] for n in range(200)]
for n in range(300):
    for message in draw: livecode._post(message + b"\\n")
    livecode.send("image", mimetype="image/svg+xml", data=image)
    if n % 3 == 0: livecode.send("table", columns=list(range(50)), rows=table)
    livecode.send("mine", n=n)
    for _ in range(50): print("\\x1b[31mred\\x1b[32mgreen", n)
livecode.send("table", columns=["the end"], rows=[])`;
  await writeProgram(page, "python-canvas", code);
  // Each of 60,000 messages waits for its place in the output, which a busy machine makes long.
  page.setDefaultTimeout(60_000);
  await recordPauses(page);
  await page.click("live-code .run");
  await page.locator(".trimmed").waitFor();
  await page.locator(".cm-content").fill("typed meanwhile");
  await page.locator(".cm-content").filter({ hasText: "typed meanwhile" }).waitFor();
  await waitForStatus(page, "finished");
  await output(page).filter({ hasText: "the end" }).waitFor();
  const longest = await longestPause(page);
  t.diagnostic(
    `60,000 shapes, 300 pictures, 100 large tables: the longest pause ${Math.round(longest)} ms`,
  );
  assert.ok(longest < 1000, `the page did not respond for ${longest} ms`);
  assert.ok((await page.locator("live-code td").count()) <= 3 * 4000);
  assert.ok((await page.locator("live-code img").count()) <= 20);
});

test("an animated program gets 200 events per second in order, and answers each", async (t) => {
  const { page } = await setUp(t);
  const code = `
size(300, 200)
stroke(None)
last = [0, 0]

@on_mouse_down
def down(x, y):
    last[:] = x, y
    print(x, y)

while not key_pressed("escape"):
    background("navy")
    fill("gold")
    circle(*last, 20)
    frame()
`;
  await writeProgram(page, "python-canvas", code);
  await page.evaluate(() => {
    // Counts the frames in which the page draws.
    const own = CanvasRenderingContext2D.prototype.fillRect;
    const times = new Set<number>();
    CanvasRenderingContext2D.prototype.fillRect = function (
      this: CanvasRenderingContext2D,
      ...place: [number, number, number, number]
    ) {
      times.add(Number(document.timeline.currentTime));
      Object.assign(window, { pictures: times.size });
      own.apply(this, place);
    };
  });
  await page.click("live-code .run");
  await waitForColour(page, [150, 100], [0, 0, 128, 255]);
  const [all, seconds, pictures] = await page.evaluate(async () => {
    const canvas = document
      .querySelector("live-code")
      ?.shadowRoot?.querySelector(".canvas") as HTMLElement;
    const place = (canvas.firstElementChild as HTMLElement).getBoundingClientRect();
    const all = 2000;
    const before = (window as unknown as { pictures: number }).pictures;
    const began = performance.now();
    let sent = 0;
    await new Promise<void>((resolve) => {
      const timer = setInterval(() => {
        for (
          const due = Math.min(all, Math.floor((performance.now() - began) / 5));
          sent < due;
          sent++
        ) {
          const at = {
            clientX: place.left + (sent % 300),
            clientY: place.top + Math.floor(sent / 300),
          };
          canvas.dispatchEvent(new PointerEvent("pointerdown", { ...at, bubbles: true }));
        }
        if (sent < all) return;
        clearInterval(timer);
        resolve();
      }, 5);
    });
    return [
      all,
      (performance.now() - began) / 1000,
      (window as unknown as { pictures: number }).pictures - before,
    ] as const;
  });
  t.diagnostic(
    `${all} events in ${seconds.toFixed(1)} s; ${(pictures / seconds).toFixed(0)} pictures a second meanwhile`,
  );
  await output(page)
    .filter({ hasText: `${(all - 1) % 300} ${Math.floor((all - 1) / 300)}\n` })
    .waitFor();
  await page.locator("live-code .canvas").focus();
  await page.keyboard.down("Escape");
  await waitForStatus(page, "finished");
  const expected = Array.from(
    { length: all },
    (_, n) => `${n % 300} ${Math.floor(n / 300)}\n`,
  ).join("");
  assert.equal(await output(page).textContent(), expected);
  assert.ok(seconds < 12, `it took ${seconds} s to send them`);
  assert.ok(pictures / seconds > 10, `${pictures} pictures`);
});

test("the end of a long coloured output is kept", async (t) => {
  const { page } = await setUp(t);
  const code =
    'import time\nfor n in range(60_000):\n    print(f"\\x1b[31mred\\x1b[0m {n:05}")\n    if n % 500 == 499: time.sleep(0.03)';
  await writeProgram(page, "python", code);
  await page.click("live-code .run");
  await waitForStatus(page, "finished");
  const [note, ...lines] = ((await output(page).textContent()) ?? "").split("red ");
  assert.match(String(note), /not shown/);
  assert.ok(lines.length > 2000 && lines.length < 40_000, `${lines.length} lines are kept`);
  assert.deepEqual(
    lines.map(Number),
    lines.map((_, at) => 60_000 - lines.length + at),
  );
});

test("a large table is cut, and a caption tells how much is shown", async (t) => {
  const { page } = await setUp(t);
  const code = `
import livecode
livecode.send("table", columns=["a", "b"], rows=[[n, {"n": n}] for n in range(300)])
livecode.send("table", columns=list(range(50)), rows=[list(range(50))] * 100, index=list(range(100)), total_rows=5000, total_columns=50)
livecode.send("table", columns=["whole"], rows=[["x"]])`;
  await writeProgram(page, "python", code);
  await page.click("live-code .run");
  await waitForStatus(page, "finished");
  const tables = page.locator("live-code table");
  assert.deepEqual(await page.locator("live-code caption").allTextContents(), [
    "200 of 300 rows",
    "80 of 5,000 rows",
  ]);
  assert.equal(await tables.count(), 3);
  assert.equal(await tables.first().locator("tbody tr").last().textContent(), '199{"n":199}');
});
