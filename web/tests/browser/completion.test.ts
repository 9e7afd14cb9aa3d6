/** Names that are completed while they are typed. */

import assert from "node:assert/strict";
import test from "node:test";
import type { Page } from "playwright-core";
import { findAxeViolations, setUpFrontPage, waitForStatus, writeProgram } from "./harness.js";

const option = (page: Page, name: string) =>
  page.locator("live-code .cm-tooltip-autocomplete li").filter({ hasText: new RegExp(`^${name}`) });
const codeOf = (page: Page) =>
  page.evaluate(() => (document.querySelector("live-code") as unknown as { code: string }).code);

/** Writes a program, and types further text at its end as a user does. */
async function type(page: Page, runtime: string, code: string, typed: string): Promise<void> {
  await writeProgram(page, runtime, code);
  await page.keyboard.type(typed);
}

test("names of the program, of the language and of its modules are completed", async (t) => {
  const { page } = await setUpFrontPage(t);
  const cases = [
    ["python", "counter = 1\n", "cou", "counter"],
    ["python", "", "import stat", "statistics"],
    ["python", "", "import math, rand", "random"],
    ["python", "", "from itert", "itertools"],
    ["python-canvas", "", "isinst", "isinstance"],
    ["javascript", "const distance = 1;\n", "dist", "distance"],
    ["javascript", "", "Math.sq", "sqrt"],
    ["javascript", "", 'import { send } from "livec', "livecode"],
    ["typescript", "", "structured", "structuredClone"],
  ] as const;
  for (const [runtime, code, typed, name] of cases) {
    await type(page, runtime, code, typed);
    const found = option(page, name).first();
    await found.waitFor();
    // The list is there long enough for a click.
    await found.click();
    const expected = code + typed.replace(/\w*$/, name);
    await page.waitForFunction((expected) => {
      const live = document.querySelector("live-code") as unknown as { code: string };
      // The editor has closed the string itself.
      return live.code.replace(/"$/, "") === expected;
    }, expected);
  }
});

test("Enter ends the line unless a name was chosen, and Escape and Tab leave the editor", async (t) => {
  const { page } = await setUpFrontPage(t);
  await type(page, "python", "counter = 1\n", "cou");
  await option(page, "counter").waitFor();
  await page.keyboard.press("Enter");
  assert.equal(await codeOf(page), "counter = 1\ncou\n");
  await page.keyboard.type("cou");
  await option(page, "counter").waitFor();
  // A list that has just appeared takes no key yet, lest it takes one that was meant for the text.
  const chosen = page.locator("live-code li[aria-selected]");
  while ((await chosen.count()) === 0) await page.keyboard.press("ArrowDown");
  assert.deepEqual(await findAxeViolations(page), []);
  await page.emulateMedia({ forcedColors: "active" });
  assert.deepEqual(await findAxeViolations(page), []);
  await page.keyboard.press("Enter");
  assert.equal(await codeOf(page), "counter = 1\ncou\ncounter");
  await page.keyboard.type("\ncou");
  await option(page, "counter").waitFor();
  await page.keyboard.press("Escape");
  await option(page, "counter").first().waitFor({ state: "hidden" });
  await page.keyboard.press("Escape");
  await page.keyboard.press("Tab");
  assert.equal(await page.locator(".cm-content").evaluate((code) => code.matches(":focus")), false);
  assert.equal(await codeOf(page), "counter = 1\ncou\ncounter\ncou");
});

test("packages that the server lists are completed, too", async (t) => {
  const { server, page } = await setUpFrontPage(t);
  await fetch(`${server.url}/catalogue/check?runtime=python`, { method: "POST" });
  const runtimes = (await (await fetch(`${server.url}/runtimes`)).json()) as {
    name: string;
    packages?: string[];
  }[];
  const packages = runtimes.find(({ name }) => name === "python")?.packages ?? [];
  const name = packages.find((one) => /^[a-z]{4,}$/.test(one));
  assert.ok(name, `the server's Python has packages: ${packages.join()}`);
  await type(page, "python", "", `import ${name.slice(0, 3)}`);
  await option(page, `${name}$`).first().waitFor();
  await page.keyboard.press("Escape");
  await page.click("live-code .run");
  await waitForStatus(page, "ended with exit status 1");
});

test("the parameters of a function are shown while its call is typed", async (t) => {
  const { page } = await setUpFrontPage(t);
  const help = page.locator("live-code .cm-signature");
  const current = help.locator("b");
  const cases = [
    ["python", "", "print(1, 2, 3", "print(*values, sep=", "*values"],
    ["python", "", "round(2 / 3, ", "round(number, digits)", "digits"],
    ["python", "import random\n", "n = random.randint(len([1, 2]), ", "randint(lowest, highest)", "highest"],
    ["python", "", "'a, b'.split(", "split(separator, maxsplit)", "separator"],
    ["python", "def area(width, height=max(1, 2)):\n    return width * height\n\n", "area(3, ", "area(width, height=max(1, 2))", "height=max(1, 2)"],
    ["python", "class Cat:\n    def __init__(self, name):\n        pass\n\n", "Cat(", "Cat(name)", "name"],
    ["python-canvas", "", "rect(1, 2, 3", "rect(x, y, width, height)", "width"],
    ["joy", "", "circle(1", "circle(x=0, y=0, r=50)", "x=0"],
    ["javascript", "const hyp = (a, b) => Math.hypot(a, b);\n", "hyp(1, ", "hyp(a, b)", "b"],
    ["javascript", "", "[1].map(", "map((item, index) => value)", "(item, index) => value"],
    ["typescript", "function half(n: number): number { return n / 2; }\n", "half(", "half(n: number)", "n: number"],
  ] as const;
  for (const [runtime, code, typed, signature, parameter] of cases) {
    await type(page, runtime, code, typed);
    await help.filter({ hasText: signature }).waitFor();
    assert.equal(await current.textContent(), parameter, typed);
  }
  assert.deepEqual(await findAxeViolations(page), []);
  // The help goes with Escape, with the end of the call, and outside of one.
  await page.keyboard.press("Escape");
  await help.waitFor({ state: "detached" });
  await page.keyboard.type("1");
  await help.waitFor();
  await page.keyboard.type(")");
  await help.waitFor({ state: "detached" });
  await type(page, "python", "", "unknown(1, ");
  assert.equal(await help.count(), 0);
  await type(page, "javascript", "", "[1].forEach((n) => { n");
  assert.equal(await help.count(), 0);
  await type(page, "bash", "", "print(");
  assert.equal(await help.count(), 0);
});
