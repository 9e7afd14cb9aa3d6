/** Messages of compilers and tracebacks that lead to the line in the editor. */

import assert from "node:assert/strict";
import test from "node:test";
import type { Page } from "playwright-core";
import {
  findAxeViolations,
  open,
  output,
  setUp,
  setUpFrontPage,
  waitForStatus,
  writeProgram,
} from "./harness.js";

/** Programs in each language, whose errors are in the lines with HERE. */
const PROGRAMS: [runtime: string, code: string][] = [
  ["python", `def f(n):\n    return 1 // n  # HERE\n\nprint("begun")\nf(0)\n`],
  ["python", `print("never")\nx = = 1  # HERE\n`],
  ["javascript", `function f() {\n  null.x; // HERE\n}\n\nconsole.log("begun");\nf();\n`],
  ["c", `#include <stdio.h>\n\nint main(void) {\n    return x; // HERE\n}\n`],
  ["cpp", `#include <vector>\n\nint main() {\n    std::vector<int> v = "no"; // HERE\n}\n`],
  ["rust", `fn main() {\n    let a: i32 = "no"; // HERE\n    println!("{a}");\n}\n`],
  ["rust", `fn main() {\n    let v: Vec<i32> = vec![];\n    println!("{}", v[std::env::args().count()]); // HERE\n}\n`],
  ["go", `package main\n\nfunc main() {\n\tx := 1 // HERE\n}\n`],
  ["go", `package main\n\nfunc main() {\n\tvar p *int\n\t*p = 1 // HERE\n}\n`],
  ["java", `public class Greeter {\n    public static void main(String[] args) {\n        int x = "no"; // HERE\n    }\n}\n`],
  ["java", `public class Greeter {\n    public static void main(String[] args) {\n        Object o = null;\n        o.toString(); // HERE\n    }\n}\n`],
  ["typescript", `const a: string = "yes";\nconst b: number = a; // HERE\n`],
];

/** The text of the marked line and that of the line with the cursor. */
const marked = (page: Page) =>
  page.evaluate(() => {
    const root = document.querySelector("live-code")?.shadowRoot;
    const of = (name: string) => [...(root?.querySelectorAll(name) ?? [])].map((line) => line.textContent);
    const isFocused = root?.activeElement?.classList.contains("cm-content");
    return { marked: of(".cm-marked"), active: of(".cm-activeLine"), isFocused };
  });

test("a click on a message leads to the line that it names, in each language", async (t) => {
  const { page } = await setUpFrontPage(t);
  for (const [runtime, code] of PROGRAMS) {
    await writeProgram(page, runtime, code);
    await page.locator("live-code .run").click();
    await page.locator("live-code[data-exitstatus]:not([data-exitstatus='0'])").waitFor();
    const line = code.split("\n").find((line) => line.includes("HERE"));
    const number = code.split("\n").indexOf(line as string) + 1;
    const place = output(page).locator(".place").filter({ hasText: new RegExp(`\\b${number}\\b`) });
    await place.first().click();
    assert.deepEqual(await marked(page), { marked: [line], active: [line], isFocused: true }, runtime);
  }
  // The mark goes with the next change.
  await page.keyboard.type(" ");
  assert.deepEqual((await marked(page)).marked, []);
});

test("the places in the output are reached by keyboard, and the file that they name is shown", async (t) => {
  const { server, pages, context } = await setUp(t);
  const files = `<pre data-filename="main.py">import lib.sums
lib.sums.add("1")</pre><pre data-filename="lib/sums.py">
def add(n):
    print("adding")
    return n + 1</pre>`;
  const start = `<html lang="en"><title>A page</title><main><h1>A page</h1>`;
  const script = `<script src="${server.url}/static/livecode.js"></script>`;
  const page = await open(t, context, pages.add(`${start}<live-code>${files}</live-code>${script}`));
  await page.locator("live-code .run").click();
  await waitForStatus(page, "ended with exit status 1");
  const places = output(page).locator(".place");
  assert.deepEqual(await places.allTextContents(), [`/code/main.py", line 2`, `/code/lib/sums.py", line 3`]);
  await output(page).focus();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  assert.deepEqual((await marked(page)).marked, ["    return n + 1"]);
  assert.equal(await page.locator("live-code [aria-selected=true]").textContent(), "lib/sums.py");
  await places.first().focus();
  await page.keyboard.press(" ");
  assert.deepEqual((await marked(page)).marked, [`lib.sums.add("1")`]);
  assert.equal(await page.locator("live-code [aria-selected=true]").textContent(), "main.py");
  assert.deepEqual(await findAxeViolations(page), []);
  const shown = await output(page).evaluate((element) => (element as HTMLElement).innerText);
  assert.match(shown, /File "\/code\/main.py", line 2, in <module>\n/);
});

test("a long list of errors at once has places, too, and a line that is drawn again", async (t) => {
  const { server, pages, context } = await setUp(t);
  const code = `for n in range(1, 101): print(f"main.py:{n}: \\x1b[31mwrong\\x1b[0m")
print("main.py:5: 10 %", end="", flush=True)
print("\\rmain.py:6: 20 %")
print("wide 漢字 main.py:\\x1b[32m7:3\\x1b[0m: x")
print("/etc/main.py:8: other")`;
  const script = `<script src="${server.url}/static/livecode.js"></script>`;
  const page = await open(t, context, pages.add(`<live-code>${code}</live-code>${script}`));
  await page.locator("live-code .run").click();
  await waitForStatus(page, "finished");
  const texts = await output(page).locator(".place").allTextContents();
  const expected = Array.from({ length: 100 }, (_, n) => `main.py:${n + 1}`);
  assert.deepEqual(texts, [...expected, "main.py:6", "main.py:7:3"]);
  assert.equal(await output(page).locator(".place .green").textContent(), "7:3");
  const lines = (await output(page).evaluate((element) => element.textContent))?.split("\n") ?? [];
  assert.deepEqual(lines.slice(99), [
    "main.py:100: wrong",
    "main.py:6: 20 %",
    "wide 漢字 main.py:7:3: x",
    "/etc/main.py:8: other",
    "",
  ]);
  // A line behind the end of the program leads to its last one.
  await output(page).locator(".place").nth(99).click();
  assert.deepEqual((await marked(page)).marked, [`print("/etc/main.py:8: other")`]);
});

/** Programs whose errors are told as data, with the line that is marked, and whether the program is compiled. */
const MARKED: [runtime: string, code: string, marked: string[]][] = [
  ["python", `def f(n):\n    return 1 // n\n\nf(0)\n`, ["    return 1 // n"]],
  ["javascript", `function f() {\n  null.x;\n}\n\nf();\n`, ["  null.x;"]],
  [
    "c",
    `int main(void) {\n    int n = y;\n    return x;\n}\n`,
    ["    int n = y;", "    return x;"],
  ],
];

test("lines with errors are marked without a click, once, until they are changed", async (t) => {
  const { page } = await setUpFrontPage(t);
  for (const [runtime, code, expected] of MARKED) {
    await writeProgram(page, runtime, code);
    await page.locator("live-code .run").click();
    await waitForStatus(page, runtime === "c" ? "not compiled" : "ended with exit status 1");
    const lines = page.locator("live-code .cm-marked");
    assert.deepEqual(await lines.allTextContents(), expected, runtime);
    assert.match((await lines.first().getAttribute("title")) ?? "", /\w/, runtime);
    // A click leads there, and marks nothing twice.
    // In a traceback of Python the innermost place is the last one.
    const places = output(page).locator(".place");
    await (runtime === "python" ? places.last() : places.first()).click();
    assert.deepEqual((await marked(page)).marked, expected, runtime);
    // A change above moves the marks; a change of a line takes its own one.
    await page.locator(".cm-content").press("ControlOrMeta+Home");
    await page.keyboard.type("\n");
    assert.deepEqual(await lines.allTextContents(), expected, runtime);
    await lines.first().click();
    await page.keyboard.type(" ");
    assert.deepEqual(await lines.allTextContents(), expected.slice(1), runtime);
  }
  // Another program has no marks of the one before, nor has another run.
  await page.locator("live-code .run").click();
  await waitForStatus(page, "not compiled");
  assert.equal(await page.locator("live-code .cm-marked").count(), 2);
  await page.getByRole("button", { name: "Hello", exact: true }).click();
  await page.locator("#own button").first().click();
  await page.locator(".cm-content").filter({ hasText: "return x" }).waitFor();
  assert.equal(await page.locator("live-code .cm-marked").count(), 0);
});

test("errors are marked after a reload, too, in the file that they name", async (t) => {
  const { server, pages, context } = await setUp(t);
  const files = `<pre data-filename="main.py">import sums
sums.add("1")</pre><pre data-filename="sums.py">
def add(n):
    return n + 1</pre>`;
  const script = `<script src="${server.url}/static/livecode.js"></script>`;
  const page = await open(t, context, pages.add(`<live-code>${files}</live-code>${script}`));
  await page.locator("live-code .run").click();
  await waitForStatus(page, "ended with exit status 1");
  assert.deepEqual((await marked(page)).marked, []);
  await page.getByRole("tab", { name: "sums.py" }).click();
  assert.deepEqual((await marked(page)).marked, ["    return n + 1"]);

  const own = await setUpFrontPage(t);
  await writeProgram(own.page, "python", "print(1)\n1 / 0");
  await own.page.locator("live-code .run").click();
  await waitForStatus(own.page, "ended with exit status 1");
  await own.page.reload();
  await waitForStatus(own.page, "ended with exit status 1");
  assert.deepEqual((await marked(own.page)).marked, ["1 / 0"]);
});
