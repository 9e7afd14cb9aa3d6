/** What the page tells of a program that starts, runs, has ended, or belongs to another session. */

import assert from "node:assert/strict";
import test from "node:test";
import type { Page } from "playwright-core";
import type * as Client from "../../src/client/index.js";
import {
  createContext,
  LiveServer,
  openFrontPage,
  output,
  setUpFrontPage as setUp,
  waitForStatus,
  writeProgram,
} from "./harness.js";

const input = (page: Page) => page.getByLabel("Input for the program");
const code = (page: Page) => page.locator(".cm-content");
const notice = (page: Page) => page.locator("#notice");

/** Records every status that the editor shows from now on. */
async function recordStatuses(page: Page): Promise<() => Promise<string[]>> {
  await page.evaluate(() => {
    const status = document.querySelector("live-code")?.shadowRoot?.querySelector(".status") as Element;
    const statuses: string[] = [];
    new MutationObserver(() => statuses.push(status.textContent ?? "")).observe(status, {
      childList: true,
    });
    Object.assign(window, { statuses });
  });
  return () => page.evaluate(() => (window as unknown as { statuses: string[] }).statuses);
}

async function run(page: Page, runtime: string, text: string): Promise<void> {
  await writeProgram(page, runtime, text);
  await page.click("live-code .run");
}

/** Creates a session without the page, and returns its id. */
async function createElsewhere(url: string, runtime: string, text: string): Promise<string> {
  const response = await fetch(`${url}/sessions`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ runtime, code: text }),
  });
  return ((await response.json()) as { id: string }).id;
}

const openFirst = (page: Page) =>
  page.locator("#session-list li").first().getByRole("button", { name: "Open" }).click();

test("the past of a session that has ended appears at once, and not as a running one", async (t) => {
  const { page } = await setUp(t);
  const text = "import time\nfor n in range(3):\n    print(n, flush=True)\n    time.sleep(0.3)";
  await run(page, "python", text);
  await waitForStatus(page, "finished");
  await page.click("#sessions");
  const statuses = await recordStatuses(page);
  await openFirst(page);
  await waitForStatus(page, "finished");
  assert.equal(await output(page).textContent(), "0\n1\n2\n");
  const shown = await statuses();
  assert.ok(!shown.some((status) => status.includes("running")), shown.join());
  assert.equal(await page.locator("live-code .stop").isDisabled(), true);
});

test("a program that was stopped is stopped everywhere, now and later", async (t) => {
  const { page } = await setUp(t);
  await run(page, "python", "print('up', flush=True)\nimport time\ntime.sleep(60)");
  await output(page).filter({ hasText: "up" }).waitFor();
  await page.click("live-code .stop");
  await waitForStatus(page, "stopped");
  await page.reload();
  await waitForStatus(page, "stopped");
  assert.equal(await page.locator("live-code .status").textContent(), "stopped");
  await page.click("#sessions");
  await page.locator("#session-list .title", { hasText: "Python: stopped" }).waitFor();
});

test("a program that a limit has ended is explained, now and later", async (t) => {
  const { page } = await setUp(t);
  const detail = page.locator("live-code .detail");
  await run(page, "c", "int main(void) { int *p = 0; return *p; }");
  await detail.filter({ hasText: "signal 11 (SIGSEGV)" }).waitFor();
  await page.reload();
  await detail.filter({ hasText: "signal 11 (SIGSEGV)" }).waitFor();
  await run(page, "python", "print('done')");
  await waitForStatus(page, "finished");
  assert.equal(await detail.isVisible(), false);
});

test("pasted lines stay lines", async (t) => {
  const { context, page } = await setUp(t);
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await run(page, "python", "for n in range(4):\n    print(n, repr(input()))");
  await input(page).waitFor();
  await page.evaluate(() => navigator.clipboard.writeText("two\r\nthree\nfo"));
  await input(page).fill("one, ");
  await input(page).press("End");
  await page.keyboard.press("ControlOrMeta+v");
  await output(page).filter({ hasText: "1 'three'" }).waitFor();
  assert.equal(await input(page).inputValue(), "fo");
  await page.keyboard.type("ur");
  await page.keyboard.press("Enter");
  await page.keyboard.type("last");
  await page.keyboard.press("Enter");
  await waitForStatus(page, "finished");
  const lines = (await output(page).textContent())?.match(/\d '.*'/g);
  assert.deepEqual(lines, ["0 'one, two'", "1 'three'", "2 'four'", "3 'last'"]);
});

test("the Joy example draws", async (t) => {
  const { page } = await setUp(t);
  await page.getByLabel("Language").selectOption("joy");
  await page.click("live-code .run");
  await waitForStatus(page, "finished");
  await page.waitForFunction(() => {
    const canvas = document.querySelector("live-code")?.shadowRoot?.querySelector("canvas");
    const data = canvas?.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data;
    return new Set(new Uint32Array(Uint8ClampedArray.from(data ?? []).buffer)).size > 3;
  });
  assert.equal(await page.locator("live-code canvas").isVisible(), true);
});

test("a program that is compiled is not running yet", async (t) => {
  const { page } = await setUp(t);
  const text = `#include <iostream>
#include <string>
#include <regex>
int main() { std::string name; std::cout << "name? " << std::flush; std::cin >> name; std::cout << "hi " << name << "\\n"; }`;
  await writeProgram(page, "cpp", text);
  const statuses = await recordStatuses(page);
  await page.click("live-code .run");
  await waitForStatus(page, "compiling");
  assert.equal(await input(page).isVisible(), false);
  await waitForStatus(page, "running");
  const shown = await statuses();
  assert.ok(shown.indexOf("compiling") < shown.indexOf("running"), shown.join());
  await input(page).fill("Ada");
  await page.keyboard.press("Enter");
  await waitForStatus(page, "finished");
});

test("a program that cannot read has no line for input", async (t) => {
  const { page } = await setUp(t);
  await run(page, "python", "import time\nprint('no question', flush=True)\ntime.sleep(60)");
  await waitForStatus(page, "running");
  await output(page).filter({ hasText: "no question" }).waitFor();
  assert.equal(await input(page).isVisible(), false);
  await run(page, "python", "import sys\nprint(sys.stdin.readline())");
  await input(page).fill("a question");
  await page.keyboard.press("Enter");
  await waitForStatus(page, "finished");
});

test("a session from elsewhere has no foreign code beside it", async (t) => {
  const { server, page } = await setUp(t);
  await writeProgram(page, "python", "print('my own code')");
  await page.getByRole("button", { name: "My program", exact: true }).waitFor();
  await createElsewhere(server.url, "bash", "echo from elsewhere");
  await page.click("#sessions");
  await openFirst(page);
  await output(page).filter({ hasText: "from elsewhere" }).waitFor();
  await notice(page).filter({ hasText: "The code of this session is not in this browser" }).waitFor();
  assert.equal(await code(page).textContent(), "");
  assert.equal(await page.getByLabel("Language").inputValue(), "bash");
});

test("another language leaves the output of the program before", async (t) => {
  const { server, page } = await setUp(t);
  await run(page, "python", "print('of python', input())");
  await input(page).waitFor();
  await page.getByLabel("Language").selectOption("bash");
  await code(page).filter({ hasText: "echo" }).waitFor();
  await page.waitForFunction(() => !document.querySelector("live-code")?.hasAttribute("data-state"));
  assert.equal(await output(page).textContent(), "");
  await notice(page).filter({ hasText: "The program before runs on" }).waitFor();
  assert.equal((await server.sessions())[0]?.state, "running");
  // The way back shows the code that it runs, and another run ends it.
  await page.click("#sessions");
  await openFirst(page);
  await code(page).filter({ hasText: "of python" }).waitFor();
  await input(page).waitFor();
  await page.getByLabel("Language").selectOption("bash");
  await page.click("live-code .run");
  await input(page).fill("Ada");
  await page.keyboard.press("Enter");
  await waitForStatus(page, "finished");
  await page.waitForFunction(async () => {
    const sessions = (await (await fetch("/sessions")).json()) as { state: string }[];
    return sessions.length === 2 && sessions.every(({ state }) => state === "ended");
  });
});

test("the next run ends all programs that were left, and not only the last one", async (t) => {
  const { server, page } = await setUp(t);
  await run(page, "python", "print('of python', input())");
  await input(page).waitFor();
  await createElsewhere(server.url, "bash", "echo from elsewhere; sleep 60");
  await page.click("#sessions");
  const second = page.locator("#session-list li").filter({ hasText: "Bash" });
  await second.getByRole("button", { name: "Open" }).click();
  await output(page).filter({ hasText: "from elsewhere" }).waitFor();
  await page.getByLabel("Language").selectOption("python");
  await code(page).filter({ hasText: "of python" }).waitFor();
  const before = await server.sessions();
  assert.deepEqual(before.map(({ state }) => state), ["running", "running"]);
  await page.click("live-code .run");
  await input(page).fill("Ada");
  await page.keyboard.press("Enter");
  await waitForStatus(page, "finished");
  await page.waitForFunction(async () => {
    const sessions = (await (await fetch("/sessions")).json()) as { state: string }[];
    return sessions.length === 3 && sessions.every(({ state }) => state === "ended");
  });
});

test("two tabs remember what their sessions ran", async (t) => {
  const { server, context, page } = await setUp(t);
  await run(page, "python", "print('of the first')");
  await waitForStatus(page, "finished");
  const other = await context.newPage();
  await other.goto(`${server.url}/`);
  await other.locator("live-code .run").waitFor();
  await run(other, "bash", "echo of the second");
  await waitForStatus(other, "finished");
  await run(page, "python", "print('of the third')");
  await waitForStatus(page, "finished");
  await other.click("#sessions");
  const rows = other.locator("#session-list li");
  for (const text of ["of the first", "of the second", "of the third"]) {
    await rows.filter({ hasText: text }).waitFor();
  }
});

test("select-all in the output selects the output alone", async (t) => {
  const { page } = await setUp(t);
  await run(page, "python", "print('one')\nprint('two')");
  await waitForStatus(page, "finished");
  await output(page).click();
  await page.keyboard.press("ControlOrMeta+a");
  const selected = await page.evaluate(() => {
    const root = document.querySelector("live-code")?.shadowRoot as unknown as Document;
    return root.getSelection()?.toString();
  });
  assert.equal(selected?.trim(), "one\ntwo");
});

test("a program that waits for input has the cursor in the line for it, in view", async (t) => {
  const server = await LiveServer.start(t);
  const context = await createContext(t, { viewport: { width: 390, height: 700 } });
  const page = await openFrontPage(t, context, `${server.url}/`);
  const lines = "print('\\n' * 100)\nfor question in 'name', 'town':\n    print(input(question + '? '))";
  await run(page, "python", lines);
  await waitForStatus(page, "waiting for input");
  await page.waitForFunction(() => {
    const input = document.querySelector("live-code")?.shadowRoot?.activeElement;
    const { top = -1, bottom = Infinity } = input?.getBoundingClientRect() ?? {};
    return input?.matches("form input") && top >= 0 && bottom <= innerHeight;
  });
  // Nothing but the keyboard is needed.
  await page.keyboard.type("Ada\n");
  await output(page).filter({ hasText: "town? " }).waitFor();
  await waitForStatus(page, "waiting for input");
  await page.reload();
  await waitForStatus(page, "waiting for input");
  await input(page).fill("London");
  await page.keyboard.press("Enter");
  await waitForStatus(page, "finished");
});

test("a program that waits for input does not take the cursor of a user who edits", async (t) => {
  const server = await LiveServer.start(t);
  const page = await openFrontPage(t, await createContext(t), `${server.url}/`);
  await run(page, "python", "import signal\nsignal.sigwait([signal.SIGINT])\ninput('name? ')");
  await waitForStatus(page, "running");
  await code(page).press("ControlOrMeta+End");
  await page.keyboard.insertText("#");
  await page.evaluate(() => {
    const live = document.querySelector<HTMLElement & { session?: Client.Session }>("live-code");
    return live?.session?.signal("interrupt");
  });
  await waitForStatus(page, "waiting for input");
  await page.keyboard.insertText(" still here");
  assert.match((await code(page).textContent()) ?? "", /# still here/);
});
