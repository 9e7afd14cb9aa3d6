/** Output that a program writes over, colours and links, in an editor. */

import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import type { Page } from "playwright-core";
import { findAxeViolations, open, output, setUp, waitForStatus } from "./harness.js";

/** Runs a program of Python in an editor, and waits until it has finished. */
async function runInEditor(t: TestContext, code: string, style = ""): Promise<Page> {
  const { server, pages, context } = await setUp(t);
  const escaped = code.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const head = `<html lang="en"><meta name="color-scheme" content="light dark"><title>A page</title>${style}`;
  const script = `<script src="${server.url}/static/livecode.js"></script>`;
  const body = `<main><h1>A page</h1><live-code>${escaped}</live-code></main>`;
  const page = await open(t, context, pages.add(head + script + body));
  await page.click("live-code .run");
  await waitForStatus(page, "finished");
  return page;
}

const linesOf = async (page: Page) =>
  ((await output(page).textContent()) ?? "").split("\n").map((line) => line.trimEnd());

test("progress bars are written over, and the bell is not printed", async (t) => {
  const code = String.raw`
import sys, time
def write(text, file=sys.stdout):
    file.write(text)
    file.flush()
    time.sleep(0.03)
print("before")
for n in range(0, 101, 10): write(f"\r{n:3}%|{'#' * (n // 10):10}|", sys.stderr)
write("\n")
for n in range(5):
    write(f"\r\x1b[Kfirst: {n}\n\r\x1b[Ksecond: {n}\x1b[A")
write("\n\n")
for n in range(3): write(f"\x1b[?25l\r\x1b[2K{'|/-'[n]} wait\x07")
write("\x1b[1G\x1b[0Kab\b\bready\x1b[?25h\n")
print("a\tb")
`;
  const page = await runInEditor(t, code);
  assert.deepEqual(await linesOf(page), [
    "before",
    "100%|##########|",
    "first: 4",
    "second: 4",
    "ready",
    "a\tb",
    "",
  ]);
  const [error] = await page.locator("live-code .output .stderr").allTextContents();
  assert.equal(error?.trimEnd(), "100%|##########|");
});

test("lines above a picture are left alone, and a bar goes on below", async (t) => {
  const code = String.raw`
import livecode
print("above")
print("\r 10%", end="", flush=True)
livecode.send("table", columns=["n"], rows=[[1]])
print("\r\x1b[A 20%", end="", flush=True)
print("\r 30%")
`;
  const page = await runInEditor(t, code);
  assert.deepEqual(
    await output(page).evaluate((element) =>
      element.textContent?.replace("n1", "[table]").split("\n"),
    ),
    ["above", " 10%[table] 30%", ""],
  );
});

test("a selection is kept while lines are added, and what scrolls by is never touched", async (t) => {
  const code = String.raw`
import time
print("one\ntwo", end="", flush=True)
input()
for n in range(100): print(".", end="", flush=True); time.sleep(0.002)
print("\nend")
`;
  const { server, pages, context } = await setUp(t);
  const page = await open(
    t,
    context,
    pages.add(`<script src="${server.url}/static/livecode.js"></script><live-code>${code}</live-code>`),
  );
  await page.click("live-code .run");
  await output(page).filter({ hasText: "two" }).waitFor();
  const isKept = await output(page).evaluateHandle((element) => {
    const nodes = [...element.querySelectorAll("*")].filter(({ textContent }) => textContent);
    return () => nodes.every((node) => node.isConnected);
  });
  await page.getByLabel("Input for the program").press("Enter");
  await waitForStatus(page, "finished");
  assert.deepEqual(await linesOf(page), ["one", "two", ".".repeat(100), "end", ""]);
  assert.equal(await isKept.evaluate((check) => check()), true);
});

test("256 colours, true colours, backgrounds and reverse are shown, and can be read", async (t) => {
  const code = String.raw`
print("\x1b[38;5;208morange\x1b[0m \x1b[38;2;255;255;0myellow\x1b[0m \x1b[38;2;0;0;90mnavy\x1b[0m")
print("\x1b[41mon red\x1b[0m \x1b[44mon blue\x1b[0m \x1b[48;5;226mon yellow\x1b[0m \x1b[37;47mwhite on white\x1b[0m")
print("\x1b[7mreverse\x1b[0m \x1b[31;7mred reverse\x1b[0m \x1b[9mgone\x1b[0m \x1b[48;2;10;20;30mdark\x1b[0m")
print("\x1b[38;2;1;2;3;48;2;4;5;6m\u2580\x1b[0m")
for n in range(16, 256): print(f"\x1b[38;5;{n}m{n}\x1b[0m", end=" ")
for n in range(256): print(f"\x1b[48;5;{n}m{n}\x1b[0m", end=" ")
`;
  const page = await runInEditor(t, code);
  const styleOf = (text: string) =>
    page
      .locator("live-code .output span > span")
      .filter({ hasText: new RegExp(`^${text}$`) })
      .first()
      .evaluate((element) => {
        const { color, backgroundColor, textDecorationLine } = getComputedStyle(element);
        return [color, backgroundColor, textDecorationLine].join(" ");
      });
  assert.match(await styleOf("on red"), /rgb\(255, 255, 255\) rgb\(205, 0, 0\)/);
  assert.match(await styleOf("on blue"), /rgb\(255, 255, 255\) rgb\(0, 0, 238\)/);
  assert.match(await styleOf("on yellow"), /rgb\(0, 0, 0\) rgb\(255, 255, 0\)/);
  assert.match(await styleOf("white on white"), /rgb\(0, 0, 0\) rgb\(229, 229, 229\)/);
  assert.match(await styleOf("reverse"), /rgb\(255, 255, 255\) rgb\(27, 32, 48\)/);
  assert.match(await styleOf("red reverse"), /rgb\(255, 255, 255\) rgb\(179, 38, 30\)/);
  assert.match(await styleOf("gone"), /line-through/);
  assert.match(await styleOf("dark"), /rgb\(255, 255, 255\) rgb\(10, 20, 30\)/);
  assert.match(await styleOf("\u2580"), /rgb\(1, 2, 3\) rgb\(4, 5, 6\)/, "a picture keeps its colours");
  const colours = await Promise.all(["orange", "yellow", "navy"].map(styleOf));
  assert.equal(new Set(colours).size, 3, colours.join());
  assert.deepEqual(await findAxeViolations(page), []);
});

test("links of a program lead to http and https alone, and give nothing away", async (t) => {
  const code = String.raw`
def link(address, text): print(f"\x1b]8;;{address}\x1b\\{text}\x1b]8;;\x1b\\")
link("https://example.org/a", "good")
link("javascript:document.title='hacked'", "script")
link("data:text/html,x", "data")
link("file:///etc/passwd", "file")
print("\x1b]0;a title\x07\x1b]52;c;aGFja2Vk\x07\x1b[?1049hend")
`;
  const page = await runInEditor(t, code);
  assert.deepEqual(await linesOf(page), ["good", "script", "data", "file", "end", ""]);
  const links = page.locator("live-code .output a");
  assert.equal(await links.count(), 1);
  assert.deepEqual(
    await links.evaluate((link: HTMLAnchorElement) => [link.href, link.target, link.rel, link.textContent]),
    ["https://example.org/a", "_blank", "noopener noreferrer", "good"],
  );
});
