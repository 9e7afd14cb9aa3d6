/** What the user can do to the output, and to the room that it has. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test, { type TestContext } from "node:test";
import type { Page } from "playwright-core";
import {
  createContext,
  findAxeViolations,
  open,
  openFrontPage,
  output,
  setUp,
  setUpFrontPage,
  waitForStatus,
  writeProgram,
} from "./harness.js";

const MENU = "Output and view";

/** Opens the menu, and returns one of its items. */
async function menuItem(page: Page, name: string) {
  await page.getByRole("button", { name: MENU }).first().click();
  return page.getByRole(/^(Wrap|Full)/.test(name) ? "menuitemcheckbox" : "menuitem", { name });
}

const choose = async (page: Page, name: string) => (await menuItem(page, name)).click();

const focusedClass = (page: Page) =>
  page.evaluate(() => document.querySelector("live-code")?.shadowRoot?.activeElement?.className);

/** Waits until a part of the editor has the focus, which the browser may move a moment later. */
const waitForFocus = (page: Page, name: string) =>
  page.waitForFunction(
    (name) => document.querySelector("live-code")?.shadowRoot?.activeElement?.className === name,
    name,
  );

const separator = (page: Page) => page.getByRole("separator", { name: "Code and output" });
const valueOf = async (page: Page) => Number(await separator(page).getAttribute("aria-valuenow"));
const widthOf = (page: Page, part: string) =>
  page.locator(`live-code .${part}`).evaluate((element) => element.getBoundingClientRect().width);

/** Opens a page of another site with an editor. */
async function setUpEditor(t: TestContext, code: string, { host = "localhost", after = "" } = {}) {
  const { server, pages, context } = await setUp(t);
  const escaped = code.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const head = `<html lang="en"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><title>A page</title>`;
  const script = `<script src="${server.url}/static/livecode.js"></script>`;
  const body = `<main><h1>A page</h1><live-code>${escaped}</live-code>${after}</main>`;
  const page = await open(t, context, pages.add(head + script + body, host));
  await page.locator("live-code .run").waitFor();
  return { page, context };
}

const PROGRAM = `import livecode
print("first \\x1b[31mred\\x1b[0m")
print("no newline", end="", flush=True)
livecode.send("table", columns=["planet", "moons"], rows=[["Mars", 2], ["Venus\\tand", 0]])
answer = input("more? ")
print("after", answer)`;
const TEXT = "first red\nno newline\nplanet\tmoons\nMars\t2\nVenus and\t0\nmore? ";

test("the output is copied, saved as a file, and cleared while the program runs", async (t) => {
  const { page, context } = await setUpEditor(t, PROGRAM);
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.click("live-code .run");
  await output(page).filter({ hasText: "more?" }).waitFor();
  await choose(page, "Copy output");
  await page.locator("live-code .note").filter({ hasText: "Copied" }).waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), TEXT);

  const [saved] = await Promise.all([page.waitForEvent("download"), choose(page, "Download output")]);
  assert.equal(saved.suggestedFilename(), "output.txt");
  assert.equal(await readFile(await saved.path(), "utf8"), TEXT);

  await choose(page, "Clear output");
  assert.equal(await output(page).textContent(), "");
  await page.getByLabel("Input for the program").fill("yes");
  await page.keyboard.press("Enter");
  await waitForStatus(page, "finished");
  assert.equal(await output(page).textContent(), "yes\nafter yes\n");
  await choose(page, "Clear output");
  const item = await menuItem(page, "Copy output");
  assert.equal(await item.getAttribute("aria-disabled"), "true", "there is nothing to copy");
});

test("a page without TLS copies the output, too", async (t) => {
  const after = "<textarea></textarea>";
  const { page } = await setUpEditor(t, PROGRAM, { host: "pages.test", after });
  assert.equal(await page.evaluate(() => "clipboard" in navigator), false);
  await page.click("live-code .run");
  await output(page).filter({ hasText: "more?" }).waitFor();
  await choose(page, "Copy output");
  await page.locator("live-code .note").filter({ hasText: "Copied" }).waitFor();
  await waitForFocus(page, "more");
  await page.locator("textarea").focus();
  await page.keyboard.press("ControlOrMeta+v");
  assert.equal(await page.locator("textarea").inputValue(), TEXT);
});

test("a text is found in the output by keyboard alone, also in what comes later", async (t) => {
  const code = `print("Apple\\napple pie, \\x1b[32map\\x1b[0mple")
for n in range(300): print(n)
print("(apple)", end="")
input()
print("last APPLE")`;
  const { page } = await setUpEditor(t, code);
  await page.click("live-code .run");
  await output(page).filter({ hasText: "(apple)" }).waitFor();
  await output(page).focus();
  await page.keyboard.press("ControlOrMeta+f");
  await page.keyboard.type("apple");
  const count = page.locator("live-code .count");
  const marked = (name: string) =>
    page.evaluate((name) => {
      const { highlights } = CSS as unknown as { highlights: Map<string, Set<Range>> };
      return [...(highlights.get(name) ?? [])].map(String);
    }, name);
  // The end of the output is seen.
  await count.filter({ hasText: "4 of 4" }).waitFor();
  assert.deepEqual(await marked("livecode-found"), ["Apple", "apple", "apple", "apple"]);
  await page.keyboard.press("Enter");
  await count.filter({ hasText: "1 of 4" }).waitFor();
  assert.equal(await output(page).evaluate(({ scrollTop }) => scrollTop < 100), true);
  assert.deepEqual(await marked("livecode-found-current"), ["Apple"]);
  await page.keyboard.press("Shift+Enter");
  await count.filter({ hasText: "4 of 4" }).waitFor();
  assert.equal(await output(page).evaluate(({ scrollTop }) => scrollTop > 1000), true);

  await page.getByLabel("Input for the program").press("Enter");
  await waitForStatus(page, "finished");
  await count.filter({ hasText: "4 of 5" }).waitFor();
  const field = page.getByRole("textbox", { name: "Find in the output" });
  await field.fill("(app");
  await count.filter({ hasText: "1 of 1" }).waitFor();
  await field.fill("pear");
  await count.filter({ hasText: "Not found" }).waitFor();
  await page.keyboard.press("Escape");
  assert.equal(await field.isVisible(), false);
  assert.match((await focusedClass(page)) ?? "", /^output/);
  assert.deepEqual(await marked("livecode-found"), []);
});

test("the menu is used by keyboard alone", async (t) => {
  const { page } = await setUpEditor(t, "print('x ' * 500)");
  await page.click("live-code .run");
  await waitForStatus(page, "finished");
  await page.locator("live-code .run").focus();
  while ((await focusedClass(page)) !== "more") await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  const focused = () =>
    page.evaluate(
      () => document.querySelector("live-code")?.shadowRoot?.activeElement?.textContent,
    );
  await page.waitForFunction(() =>
    document.querySelector("live-code")?.shadowRoot?.activeElement?.matches("[role=menuitem]"),
  );
  assert.equal(await focused(), "Copy output");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Home");
  for (let n = 0; n < 6; n++) await page.keyboard.press("ArrowDown");
  assert.equal(await focused(), "Wrap long lines");
  const isWide = () => output(page).evaluate((element) => element.scrollWidth > element.clientWidth);
  assert.equal(await isWide(), false);
  await page.keyboard.press("Enter");
  assert.equal(await isWide(), true, "a long line is one line");
  await waitForFocus(page, "more");
  await page.keyboard.press("ArrowDown");
  await page.getByRole("menu").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("menu").waitFor({ state: "hidden" });
  await waitForFocus(page, "more");
});

test("the size of the type and the wrapping of lines are remembered", async (t) => {
  const { page } = await setUpFrontPage(t);
  await writeProgram(page, "python", "print('long ' * 300)");
  await page.click("live-code .run");
  await waitForStatus(page, "finished");
  const sizes = () =>
    page.evaluate(() => {
      const root = document.querySelector("live-code")?.shadowRoot;
      const sizeOf = (part: string) => getComputedStyle(root?.querySelector(part) as Element).fontSize;
      return [sizeOf(".output"), sizeOf(".cm-editor")].join(" ");
    });
  assert.equal(await sizes(), "14px 14px");
  const larger = await menuItem(page, "Larger type");
  for (let n = 0; n < 3; n++) await larger.click();
  await page.keyboard.press("Escape");
  assert.equal(await sizes(), "21px 21px");
  await choose(page, "Wrap long lines");
  await page.reload();
  await waitForStatus(page, "finished");
  assert.equal(await sizes(), "21px 21px");
  const wrap = await menuItem(page, "Wrap long lines");
  assert.equal(await wrap.getAttribute("aria-checked"), "false");
  await page.keyboard.press("Escape");
  const smaller = await menuItem(page, "Smaller type");
  for (let n = 0; n < 5; n++) await smaller.click();
  assert.equal(await sizes(), "10.5px 10.5px");
  assert.equal(await smaller.getAttribute("aria-disabled"), "true");
});

test("the divider is dragged and moved by keys, and stays where it was", async (t) => {
  const { page, server, context } = await setUpFrontPage(t, { viewport: { width: 1200, height: 800 } });
  assert.equal(await valueOf(page), 50);
  assert.equal(await separator(page).getAttribute("aria-orientation"), "vertical");
  assert.ok(Math.abs((await widthOf(page, "code")) - (await widthOf(page, "shown"))) < 2);
  const box = (await separator(page).boundingBox()) as { x: number; y: number };
  // The pointer may be a few pixels beside the line.
  await page.mouse.move(box.x + 4, box.y + 200);
  await page.mouse.down();
  await page.mouse.move(box.x + 150, box.y + 250, { steps: 4 });
  await page.mouse.up();
  const dragged = await valueOf(page);
  assert.ok(dragged > 60 && dragged < 66, String(dragged));
  assert.ok((await widthOf(page, "code")) > 1.5 * (await widthOf(page, "shown")));
  await page.keyboard.press("ArrowLeft");
  assert.equal(await valueOf(page), dragged - 2);

  const other = await openFrontPage(t, context, `${server.url}/`);
  assert.equal(await valueOf(other), dragged - 2);
  await other.close();
  await page.keyboard.press("Home");
  assert.equal(await valueOf(page), 15);
  await page.keyboard.press("End");
  assert.equal(await valueOf(page), 85);
  await page.mouse.dblclick((await separator(page).boundingBox())?.x as number, box.y + 100);
  assert.equal(await valueOf(page), 50);
  await page.keyboard.press("ArrowRight");

  // Below each other, the height of the code changes.
  await page.setViewportSize({ width: 600, height: 900 });
  await page.waitForFunction(
    () =>
      document
        .querySelector("live-code")
        ?.shadowRoot?.querySelector(".divider")
        ?.getAttribute("aria-orientation") === "horizontal",
  );
  const height = await valueOf(page);
  await separator(page).press("ArrowDown");
  assert.equal(await valueOf(page), height + 20);
  const line = (await separator(page).boundingBox()) as { x: number; y: number };
  await page.mouse.move(300, line.y);
  await page.mouse.down();
  await page.mouse.move(300, line.y - 100, { steps: 4 });
  await page.mouse.up();
  assert.ok(Math.abs((await valueOf(page)) - (height - 80)) <= 2, String(await valueOf(page)));
  await separator(page).press("Enter");
  assert.equal(await valueOf(page), height);
});

test("the output fills the screen, with the buttons that a program needs", async (t) => {
  const { page } = await setUpEditor(t, "input('go on? ')\nprint('done')");
  await page.click("live-code .run");
  await output(page).filter({ hasText: "go on?" }).waitFor();
  await choose(page, "Full screen");
  await page.waitForFunction(() => document.fullscreenElement?.localName === "live-code");
  assert.equal(await page.isVisible("live-code .code"), false);
  const size = await page.evaluate(() => [innerWidth, innerHeight]);
  const frame = await page.locator("live-code .frame").boundingBox();
  assert.deepEqual([frame?.width, frame?.height], size);
  await page.getByLabel("Input for the program").press("Enter");
  await waitForStatus(page, "finished");
  await output(page).filter({ hasText: "done" }).waitFor();
  const item = await menuItem(page, "Full screen");
  assert.equal(await item.getAttribute("aria-checked"), "true");
  await item.click();
  await page.waitForFunction(() => document.fullscreenElement === null);
  assert.equal(await page.isVisible("live-code .code"), true);
});

test("standard error is told apart without colours", async (t) => {
  const code = `import sys
print("out")
print("one\\ntwo", file=sys.stderr)
print("out again")
for n in range(100): print(n, file=sys.stderr)`;
  const { page } = await setUpEditor(t, code);
  await page.emulateMedia({ forcedColors: "active" });
  await page.click("live-code .run");
  await waitForStatus(page, "finished");
  const marks = await output(page).evaluate((element) =>
    [...element.querySelectorAll(".stderr")].map((line) => {
      const { borderLeftWidth, borderLeftStyle, content } = getComputedStyle(line, "::before");
      return [line.textContent, borderLeftWidth, borderLeftStyle, content].join(" ");
    }),
  );
  const lines = ["one", "two", ...Array.from({ length: 100 }, (_, n) => String(n))];
  assert.deepEqual(marks, lines.map((line) => `${line}\n 3px double ""`));
});

test("the heads of a long table stay in view while it scrolls", async (t) => {
  const code = `import livecode
livecode.send("table", columns=["a", "b"], rows=[[n, n] for n in range(150)])`;
  const { page } = await setUpEditor(t, code);
  await page.click("live-code .run");
  await waitForStatus(page, "finished");
  const table = page.getByRole("group", { name: "Table" });
  await table.press("End");
  await page.waitForFunction(() => {
    const table = document.querySelector("live-code")?.shadowRoot?.querySelector(".table");
    return table && table.scrollTop + table.clientHeight >= table.scrollHeight - 1;
  });
  const [above, head] = await table.evaluate((element) => [
    element.getBoundingClientRect().top,
    element.querySelector("th")?.getBoundingClientRect().top,
  ]);
  assert.ok(Math.abs((above as number) - (head as number)) <= 2, `${above} ${head}`);
});

test("menu and search are complete at 320 pixels and at 200 %, and axe finds nothing", async (t) => {
  for (const [width, height] of [
    [320, 640],
    [640, 400], // a window of 1280 × 800 pixels at 200 %
    [1280, 800],
  ] as const) {
    const { page } = await setUpFrontPage(t, { viewport: { width, height } });
    await writeProgram(page, "python", "print('one two')");
    await page.click("live-code .run");
    await waitForStatus(page, "finished");
    await page.getByRole("button", { name: MENU }).scrollIntoViewIfNeeded();
    await choose(page, "Find in output…");
    await page.keyboard.type("o");
    await page.locator("live-code .count").filter({ hasText: "of" }).waitFor();
    await (await menuItem(page, "Larger type")).click();
    const menu = await page.getByRole("menu").boundingBox();
    assert.ok(menu && menu.x >= 0 && menu.x + menu.width <= width, JSON.stringify(menu));
    assert.ok(menu.y >= 0 && menu.y + menu.height <= height, JSON.stringify(menu));
    for (const name of ["Previous", "Next", "Close"]) {
      const box = await page.getByRole("button", { name, exact: true }).boundingBox();
      assert.ok(box && box.x >= 0 && box.x + box.width <= width, `${name} ${JSON.stringify(box)}`);
    }
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
    for (const forcedColors of ["none", "active"] as const) {
      await page.emulateMedia({ forcedColors });
      assert.deepEqual(await findAxeViolations(page), [], `${width} ${forcedColors}`);
    }
    if (width < 1000) {
      // The page scrolls here. The menu would not move with its button, and so is closed.
      await page.evaluate(() => scrollTo(0, scrollY > 0 ? 0 : 40));
      await page.getByRole("menu").waitFor({ state: "hidden" });
    }
    await page.context().close();
  }
});

test("a view that cannot be read counts as none", async (t) => {
  const { server } = await setUpFrontPage(t);
  for (const stored of ['{"size":1e9,"isWrapping":7,"codePercent":"all"}', "no JSON", "null", "[]"]) {
    const fresh = await createContext(t);
    await fresh.addInitScript((text) => localStorage.setItem("livecode-view", text), stored);
    const page = await openFrontPage(t, fresh, `${server.url}/`);
    assert.equal(await valueOf(page), 50, stored);
  }
});
