/** Programs in parts: those that build on others, with code that is not shown, and exercises. */

import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import type { Page } from "playwright-core";
import { findAxeViolations, open, setUp } from "./harness.js";

const start = `<html lang="en"><meta name="color-scheme" content="light dark"><title>A page</title><main><h1>A page</h1>`;

async function openPage(t: TestContext, body: string): Promise<Page> {
  const { server, pages, context } = await setUp(t);
  const script = `<script src="${server.url}/static/livecode.js"></script>`;
  const page = await open(t, context, pages.add(start + body + script));
  await page.locator("live-code .run").first().waitFor();
  return page;
}

/** Runs the program of an editor, and returns its output once it has ended so. */
async function run(page: Page, id: string, status = "finished"): Promise<string> {
  await page.locator(`#${id} .run`).click();
  await page.locator(`#${id} .status`).filter({ hasText: status }).waitFor();
  return (await page.locator(`#${id} .output`).textContent()) ?? "";
}

const codeOf = (page: Page, id: string) =>
  page.evaluate((id) => (document.getElementById(id) as unknown as { code: string }).code, id);
const numbersOf = async (page: Page, id: string) =>
  (await page.locator(`#${id} .cm-lineNumbers .cm-gutterElement`).allTextContents()).slice(1);

const CHAIN = `
  <live-code id="shapes">
    <template data-part="setup">
      import math
    </template>
    def area(r):
        return round(math.pi * r ** 2, 2)
    <template data-part="teardown">
      print("the teardown of shapes")
    </template>
  </live-code>
  <live-code id="rooms" depends="shapes">
    size = area(2)
  </live-code>
  <live-code id="house" depends="shapes rooms">
    <pre data-part="setup" hidden>rooms = 3</pre>
    <pre>print(rooms * size)</pre>
    <pre data-part="teardown" hidden>print("checked")</pre>
  </live-code>`;

test("a program runs after those on which it builds, each once, as they are now", async (t) => {
  const page = await openPage(t, CHAIN);
  assert.equal(await codeOf(page, "shapes"), "def area(r):\n    return round(math.pi * r ** 2, 2)");
  assert.equal(await codeOf(page, "house"), "print(rooms * size)");
  assert.equal(await run(page, "house"), "37.71\nchecked\n");
  assert.equal(await run(page, "shapes"), "the teardown of shapes\n");
  assert.equal(await page.locator("#house .cm-content").textContent(), "print(rooms * size)");
  // Lines have the numbers that messages have.
  assert.deepEqual(await numbersOf(page, "shapes"), ["2", "3"]);
  assert.deepEqual(await numbersOf(page, "house"), ["6"]);
  await page.locator("#rooms .cm-content").press("ControlOrMeta+a");
  await page.keyboard.type("side = 1\nsize = area(side) / 0");
  await page.waitForFunction(() => {
    const root = document.querySelector("#house")?.shadowRoot;
    return root?.querySelector(".cm-lineNumbers .cm-gutterElement:last-child")?.textContent === "7";
  });
  const output = await run(page, "house", "ended with exit status 1");
  assert.match(output, /line 5, in <module>\n/);
  // Nothing in this editor is at that line.
  assert.equal(await page.locator("#house .place").count(), 0);
  assert.equal(await page.locator("#house .cm-marked").count(), 0);
  const place = await run(page, "rooms", "ended with exit status 1");
  assert.match(place, /line 5, in <module>\n/);
  const marked = page.locator("#rooms .cm-marked");
  assert.equal(await marked.textContent(), "size = area(side) / 0");
  await page.locator("#rooms .place").click();
  assert.deepEqual(await page.locator("#rooms .cm-activeLine").allTextContents(), ["size = area(side) / 0"]);
  assert.equal(await marked.count(), 1);
  assert.deepEqual(await findAxeViolations(page), []);
});

test("a program that builds on none that is there says so, and a circle is none", async (t) => {
  const page = await openPage(
    t,
    `<live-code id="a" depends="none">print(1)</live-code>
     <live-code id="b" depends="c">print("b")</live-code>
     <live-code id="c" depends="b">print("c")</live-code>
     <live-code id="d" depends="e"><pre data-filename="main.py">import e, own; print(e.n, own.n)</pre><pre data-filename="own.py">n = 1</pre></live-code>
     <live-code id="e"><pre data-filename="first.py">x = 2</pre><pre data-filename="e.py">n = 2</pre><pre data-filename="own.py">n = 3</pre></live-code>`,
  );
  assert.match(await run(page, "a", "could not be run"), /^This page has no program “none”/);
  assert.equal(await run(page, "b"), "c\nb\n");
  assert.equal(await run(page, "c"), "b\nc\n");
  assert.equal(await run(page, "d"), "2 1\n");
});

const EXERCISE = `
  <live-code id="double">
    <pre><span data-readonly>def double(n):</span>
    return n
<span data-readonly>print(double(int(input())))</span></pre>
    <pre data-part="stdin" hidden>21</pre>
    <pre data-part="expected" hidden>42</pre>
    <pre data-part="solution" hidden>def double(n):
    return 2 * n

print(double(int(input())))</pre>
  </live-code>
  <script>
    var told = [];
    for (const name of ["write", "exit", "result"])
      document.getElementById("double").addEventListener("livecode-" + name, (event) => told.push([name, event.detail]));
  </script>`;

test("an exercise has input, fixed lines, an expected output and a solution", async (t) => {
  const page = await openPage(t, EXERCISE);
  const told = () => page.evaluate("told.splice(0)") as Promise<unknown[]>;
  const given = "def double(n):\n    return n\nprint(double(int(input())))";
  assert.equal(await codeOf(page, "double"), given);
  const verdict = page.locator("#double .verdict");
  assert.equal(await run(page, "double"), "21\n");
  await verdict.filter({ hasText: "not as expected, which is:42" }).waitFor();
  assert.equal(await page.getByLabel("Input for the program").isVisible(), false);
  const exit = { exitstatus: 0, output: "21\n", stdout: "21\n", stderr: "" };
  assert.deepEqual(await told(), [
    ["write", { file: "stdout", data: "21\n" }],
    ["exit", exit],
    ["result", { passed: false, expected: "42", stdout: "21\n" }],
  ]);
  assert.deepEqual(await findAxeViolations(page), []);

  // Fixed lines take no key, neither by themselves nor together with others.
  const code = page.locator("#double .cm-content");
  const fixed = page.locator("#double .cm-fixed");
  assert.deepEqual(await fixed.allTextContents(), ["def double(n):", "print(double(int(input())))"]);
  for (const keys of [
    ["ControlOrMeta+Home", "x", "Delete", "ArrowDown", "Home", "Home", "Backspace"],
    ["ControlOrMeta+End", "x", "Backspace"],
    ["ControlOrMeta+a", "Delete", "x"],
    ["ControlOrMeta+Home", "ArrowDown", "End", "Delete"],
  ]) {
    for (const key of keys) await code.press(key);
    assert.equal(await codeOf(page, "double"), given, keys.join());
  }
  await code.press("ControlOrMeta+Home");
  for (const key of ["ArrowDown", "End"]) await code.press(key);
  await page.keyboard.type(" * 2");
  await code.press("ControlOrMeta+End");
  await page.keyboard.type("\n# the end");
  const solved = given.replace("return n", "return n * 2") + "\n# the end";
  assert.equal(await codeOf(page, "double"), solved);
  assert.equal(await run(page, "double"), "42\n");
  await verdict.filter({ hasText: /^✓ The output is as expected.$/ }).waitFor();
  assert.equal(await page.evaluate("document.getElementById('double').output"), "42\n");
  assert.deepEqual((await told()).at(-1), ["result", { passed: true, expected: "42", stdout: "42\n" }]);

  // Reset fixes the lines again.
  await page.locator("#double .reset").click();
  assert.equal(await codeOf(page, "double"), given);
  assert.equal(await fixed.count(), 2);
  await code.press("ControlOrMeta+Home");
  await page.keyboard.type("x");
  assert.equal(await codeOf(page, "double"), given);

  // The solution leaves what was written as it is.
  const solution = page.locator("#double .solution");
  assert.equal(await solution.locator("pre").isVisible(), false);
  await solution.locator("summary").focus();
  await page.keyboard.press("Enter");
  assert.match((await solution.locator("pre").textContent()) ?? "", /return 2 \* n/);
  assert.equal(await solution.locator("pre").isVisible(), true);
  assert.equal(await codeOf(page, "double"), given);
  assert.deepEqual(await findAxeViolations(page), []);
});

test("a file, or a whole program, can be read only", async (t) => {
  const page = await openPage(
    t,
    `<live-code id="all" readonly>print("all")</live-code>
     <live-code id="one"><pre data-filename="main.py">print(open("data.txt").read())</pre><pre data-filename="data.txt" data-readonly>fixed</pre></live-code>`,
  );
  for (const id of ["all", "one"]) {
    await page.locator(`#${id} .cm-content`).press("ControlOrMeta+Home");
    await page.keyboard.type("# ");
  }
  await page.locator("#one [role=tab]").nth(1).click();
  await page.locator("#one .cm-content").press("ControlOrMeta+a");
  await page.keyboard.type("x");
  assert.equal(await run(page, "all"), "all\n");
  assert.equal(await codeOf(page, "one"), `# print(open("data.txt").read())`);
  await page.locator("#one .reset").click();
  assert.equal(await run(page, "one"), "fixed\n");
});
