/** Programs with cases: each is ticked or compared as it ends, on any page and on the server's own. */

import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import type { Page } from "playwright-core";
import {
  createContext,
  findAxeViolations,
  LiveServer,
  open,
  openFrontPage,
  output,
  Pages,
  waitForStatus,
} from "./harness.js";

const cases = (page: Page) => page.locator("live-code .cases li");
const sum = (page: Page, text: string) => page.locator("live-code .verdict").filter({ hasText: text });
const told = (page: Page) => page.evaluate("told.splice(0)") as Promise<[string, Record<string, unknown>][]>;

/** Opens a page with a program and its cases, which records what it is told. */
async function openCases(t: TestContext, code: string, json: string, attributes = ""): Promise<Page> {
  const server = await LiveServer.start(t);
  const pages = await Pages.start(t);
  const page = await open(
    t,
    await createContext(t),
    pages.add(`<html lang="en"><meta name="color-scheme" content="light dark"><title>A page</title><main><h1>A page</h1>
      <meta name="viewport" content="width=device-width">
      <live-code ${attributes}><pre>${code}</pre>
        <script type="application/json" data-part="cases">${json}</script></live-code></main>
      <script src="${server.url}/static/livecode.js"></script>
      <script>
        var told = [];
        for (const name of ["case", "exit", "result"])
          document.querySelector("live-code").addEventListener("livecode-" + name, (event) => told.push([name, event.detail]));
      </script>`),
  );
  await page.locator("live-code .run").waitFor();
  return page;
}

const DOUBLE = `[
  {"name": "small", "stdin": "2", "expected": "4"},
  {"name": "<b>large</b>", "stdin": "10", "args": ["a"], "expected": "first\\n20\\nlast"},
  {"stdin": "x", "expected": "0"}
]`;

test("each case of a program is ticked, or compared with what it expects", async (t) => {
  const page = await openCases(t, "print(int(input()) * 2)", DOUBLE);
  assert.equal(await page.evaluate("document.querySelector('live-code').code"), "print(int(input()) * 2)");
  await page.click("live-code .run");
  await waitForStatus(page, "finished");
  await sum(page, "✗ 1 of 3 cases passed.").waitFor();
  assert.equal(await page.getByLabel("Input for the program").isVisible(), false);
  const [small, large, letter] = [0, 1, 2].map((at) => cases(page).nth(at));
  assert.equal(await small?.textContent(), "✓ small");
  const titles = await cases(page).locator("summary").allTextContents();
  assert.deepEqual(titles, ["✗ <b>large</b>: not as expected", "✗ 3: ended with exit status 1"]);
  assert.deepEqual(await large?.locator("pre").allTextContents(), ["a", "10", "− first\n  20\n− last\n"]);
  assert.ok(await large?.locator("pre").first().isVisible(), "the first failure is open");
  assert.equal(await letter?.locator("pre").first().isVisible(), false);
  await letter?.locator("summary").focus();
  await page.keyboard.press("Enter");
  const error = letter?.getByLabel("Standard error");
  assert.match((await error?.textContent()) ?? "", /ValueError: invalid literal/);
  assert.ok(await error?.isVisible());
  await page.getByText("they are not secret").waitFor();

  const [first, , , exit, result] = await told(page);
  assert.deepEqual([first?.[0], first?.[1].name, first?.[1].passed, first?.[1].stdout], ["case", "small", true, "4\n"]);
  assert.deepEqual(exit, ["exit", { exitstatus: 1, output: "", stdout: "", stderr: "" }]);
  assert.equal(result?.[0], "result");
  assert.equal(result?.[1].passed, false);
  assert.deepEqual((result?.[1].cases as { passed: boolean }[]).map(({ passed }) => passed), [true, false, false]);
  assert.deepEqual(await findAxeViolations(page), []);
  await page.setViewportSize({ width: 320, height: 600 });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));

  // Another run begins anew.
  await page.locator("live-code .cm-content").press("ControlOrMeta+a");
  await page.keyboard.insertText("import sys\nn = input()\nprint({'2': 4, '10': 'first\\n20\\nlast'}.get(n, 0))");
  await page.click("live-code .run");
  await sum(page, "✓ 3 of 3 cases passed.").waitFor();
  assert.deepEqual(await cases(page).allTextContents(), ["✓ small", "✓ <b>large</b>", "✓ 3"]);
  assert.equal(((await told(page)).at(-1)?.[1] as { passed: boolean }).passed, true);
  assert.deepEqual(await findAxeViolations(page), []);
});

test("a case is shown as it ends, and Stop skips the others", async (t) => {
  const code = `import time\nprint(1, flush=True)\nif input() == "2": time.sleep(60)`;
  const json = `[{"stdin": "1", "expected": "1"}, {"stdin": "2", "timeout": 60000}, {"stdin": "3"}]`;
  const page = await openCases(t, code, json, `resume="cases"`);
  await page.click("live-code .run");
  await cases(page).filter({ hasText: "✓ 1" }).waitFor();
  assert.equal(await cases(page).count(), 1);
  await waitForStatus(page, "running");
  await page.reload();
  await cases(page).filter({ hasText: "✓ 1" }).waitFor();
  await page.click("live-code .stop");
  await sum(page, "✗ 1 of 3 cases passed.").waitFor();
  assert.deepEqual(await cases(page).locator("summary").allTextContents(), ["✗ 2: stopped"]);
  await page.waitForFunction(() => document.querySelector("live-code")?.getAttribute("data-state") === "ended");
  assert.equal(((await told(page)).at(-1)?.[1] as { passed: boolean }).passed, false);
});

test("a program that is not compiled passes no case, and damaged cases are told", async (t) => {
  const page = await openCases(t, "int main(void) { return x; }", `[{"expected": ""}, {}]`, `runtime="c"`);
  await page.click("live-code .run");
  await waitForStatus(page, "not compiled");
  await sum(page, "✗ 0 of 2 cases passed.").waitFor();
  assert.equal(await cases(page).count(), 0);
  await output(page).filter({ hasText: "undeclared" }).waitFor();
  for (const json of ["{}", "[{]"]) {
    const damaged = await openCases(t, "print(1)", json);
    await damaged.click("live-code .run");
    await waitForStatus(damaged, "could not be run");
    assert.match((await output(damaged).textContent()) ?? "", /^The cases of this program are damaged: /);
  }
});

test("the server's page shows the cases of a session from elsewhere", async (t) => {
  const server = await LiveServer.start(t);
  const request = {
    runtime: "python",
    code: "print(input())",
    cases: [{ name: "same", stdin: "a", expected: "a" }, { name: "other", stdin: "b", expected: "a" }],
  };
  const response = await fetch(`${server.url}/sessions`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(request),
  });
  assert.equal(response.status, 201);
  const page = await openFrontPage(t, await createContext(t), `${server.url}/`);
  await page.click("#sessions");
  await page.locator("#session-list li").first().getByRole("button", { name: "Open" }).click();
  for (const reload of [false, true]) {
    if (reload) await page.reload();
    await sum(page, "✗ 1 of 2 cases passed.").waitFor();
    assert.equal(await cases(page).first().textContent(), "✓ same");
    assert.equal(await cases(page).nth(1).locator("summary").textContent(), "✗ other: not as expected");
    assert.equal(await cases(page).nth(1).getByLabel("Printed").textContent(), "b\n");
    await waitForStatus(page, "finished");
    assert.deepEqual(await findAxeViolations(page), []);
  }
  // Another program has none of it.
  await page.getByLabel("Language").selectOption("bash");
  await page.waitForFunction(() => !document.querySelector("live-code")?.shadowRoot?.querySelector(".cases"));
  assert.equal(await page.locator("live-code .verdict").textContent(), "");
});

test("hidden cases of an exercise are not said to be readable", async (t) => {
  const server = await LiveServer.start(t);
  const send = async (method: string, path: string, body: unknown): Promise<void> => {
    const headers = { "Content-Type": "application/json" };
    const response = await fetch(server.url + path, { method, headers, body: JSON.stringify(body) });
    assert.ok(response.ok, await response.text());
  };
  const expected = { expected: "a" };
  const exercise = { runtime: "python", cases: [{ name: "hidden", hidden: true, ...expected }] };
  await send("PUT", "/exercises/all-hidden", exercise);
  await send("POST", "/sessions", { exercise: "all-hidden", code: "print('b')" });
  const page = await openFrontPage(t, await createContext(t), `${server.url}/`);
  await page.click("#sessions");
  await page.locator("#session-list li").first().getByRole("button", { name: "Open" }).click();
  await sum(page, "✗ 0 of 1 case passed.").waitFor();
  assert.equal(await cases(page).locator("summary").textContent(), "✗ hidden: failed");
  assert.equal(await page.locator("live-code .cases .quiet").count(), 0);
});
