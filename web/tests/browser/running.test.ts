/** What the page tells of a program that starts, runs, has ended, or belongs to another session. */

import assert from "node:assert/strict";
import test from "node:test";
import type { Page } from "playwright-core";
import type * as Client from "../../src/client/index.js";
import {
  createContext,
  LiveServer,
  open,
  output,
  Pages,
  setUpFrontPage as setUp,
  waitForColour,
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

/** A picture that moves from left to right, with a line of text for each picture. */
const ANIMATION = `size(100, 20)
for n in range(30):
    background("white")
    fill("red")
    rect(3 * n, 0, 10, 20)
    print(n)
    frame()`;

test("what a session has drawn can be shown again, picture by picture, now and later", async (t) => {
  const { page } = await setUp(t);
  const replay = page.locator("live-code .replay");
  await run(page, "python-canvas", ANIMATION);
  await waitForStatus(page, "finished");
  const all = await output(page).textContent();
  /** Replays, and returns how many pictures are seen of the canvas, each with its lines of output. */
  const countPictures = () =>
    page.evaluate(() => {
      const root = document.querySelector("live-code")?.shadowRoot;
      const seen = new Set<string>();
      let hasBegun = false;
      return new Promise<number>((resolve) => {
        const look = () => {
          const canvas = root?.querySelector("canvas");
          const data = canvas?.getContext("2d")?.getImageData(0, 10, canvas.width, 1).data ?? [];
          const left = Array.from(data).findIndex((value, at) => at % 4 === 1 && value === 0);
          const lines = root?.querySelector(".output")?.textContent?.split("\n").length ?? 0;
          seen.add(`${Math.floor(left / 4)} ${lines}`);
          const isReplaying = root?.querySelector(".status")?.textContent === "replaying";
          hasBegun ||= isReplaying;
          if (isReplaying || !hasBegun) requestAnimationFrame(look);
          else resolve(seen.size);
        };
        (root?.querySelector(".replay") as HTMLElement).click();
        look();
      });
    });
  for (const reload of [false, true]) {
    if (reload) await page.reload();
    await waitForStatus(page, "finished");
    const pictures = await countPictures();
    assert.ok(pictures >= 3, `${pictures} pictures were seen`);
    assert.equal(await output(page).textContent(), all);
    assert.equal(await page.locator("live-code .status").textContent(), "finished");
    await waitForColour(page, [90, 10], [255, 0, 0, 255]);
  }
  // Stop shows the end at once, and another run begins anew.
  await writeProgram(page, "python-canvas", ANIMATION.replace("30", "200").replace("3 * n", "n / 3"));
  await page.click("live-code .run");
  assert.equal(await replay.isVisible(), false);
  await waitForStatus(page, "finished");
  await replay.click();
  await waitForStatus(page, "replaying");
  await page.click("live-code .stop");
  assert.equal(await page.locator("live-code .status").textContent(), "finished");
  assert.match((await output(page).textContent()) ?? "", /\n199\n$/);
  assert.equal(await page.locator("live-code .stop").isDisabled(), true);
});

test("the pauses of a text can be shown again by those who have seen them", async (t) => {
  const { page } = await setUp(t);
  const replay = page.locator("live-code .replay");
  await run(page, "python", "import time\nfor n in range(3):\n    print(n, flush=True)\n    time.sleep(0.8)");
  await waitForStatus(page, "finished");
  await replay.click();
  await waitForStatus(page, "replaying");
  assert.notEqual(await output(page).textContent(), "0\n1\n2\n");
  await waitForStatus(page, "finished");
  assert.equal(await output(page).textContent(), "0\n1\n2\n");
  await run(page, "python", "print(1)");
  await waitForStatus(page, "finished");
  assert.equal(await replay.isVisible(), false);
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
  await waitForStatus(page, "waiting for input");
  const shown = await statuses();
  assert.ok(!shown.slice(0, shown.indexOf("compiling")).includes("running"), shown.join());
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

/** Whether the line for input has the cursor, and can be seen as a whole. */
const isAtInput = (page: Page) =>
  page.evaluate(() => {
    const focused = document.querySelector("live-code")?.shadowRoot?.activeElement;
    const { top = -1, bottom = Infinity } = focused?.getBoundingClientRect() ?? {};
    return Boolean(focused?.matches("form input")) && top >= 0 && bottom <= innerHeight;
  });

test("a program that waits has the cursor in the line for input, in view on a phone", async (t) => {
  const { page } = await setUp(t, { viewport: { width: 390, height: 700 }, hasTouch: true, isMobile: true });
  const ask = "for question in 'name', 'town':\n    print(input(question + '? '))";
  await writeProgram(page, "python", `print('\\n' * 100)\n${ask}`);
  await page.tap("live-code .run");
  await waitForStatus(page, "waiting for input");
  await page.waitForFunction(() => scrollY > 0);
  assert.ok(await isAtInput(page));
  // The keyboard alone answers, and the line is there for the next question.
  await page.keyboard.type("Ada\n");
  await output(page).filter({ hasText: "town? " }).waitFor();
  await waitForStatus(page, "waiting for input");
  assert.ok(await isAtInput(page));
  // A reload shows the wait again, and a button that was pressed gives the cursor back.
  await page.reload();
  await waitForStatus(page, "waiting for input");
  assert.ok(await isAtInput(page));
  await page.keyboard.type("London");
  await page.tap("live-code form button >> nth=0");
  await waitForStatus(page, "finished");
  assert.match((await output(page).textContent()) ?? "", /name\? Ada\nAda\ntown\? London\nLondon\n$/);
});

test("a wait shows the line for input of a program whose text did not tell that it reads", async (t) => {
  const { page } = await setUp(t);
  await run(page, "python", "print('computing', flush=True)\nwhile True: pass  # no input");
  await output(page).filter({ hasText: "computing" }).waitFor();
  assert.equal(await page.locator("live-code .status").textContent(), "running");
  assert.equal(await isAtInput(page), false);
  await run(page, "sqlite", ".shell cat\nselect 'read';");
  await waitForStatus(page, "waiting for input");
  assert.ok(await isAtInput(page));
  await page.keyboard.type("a line\n");
  await output(page).filter({ hasText: "a line" }).waitFor();
  // Nothing more can be sent, so that the line is gone, and the cursor is not lost.
  await page.getByRole("button", { name: "End of input" }).click();
  assert.equal(await input(page).isVisible(), false);
  await output(page).filter({ hasText: "read" }).waitFor();
  await waitForStatus(page, "finished");
});

/** A program that waits once the page has sent it a signal. */
const LATER = `import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
print("ready", flush=True)
signal.sigwait([signal.SIGINT])
print(input("name? "))`;
const signal = (page: Page) =>
  page.evaluate(() => {
    const live = document.querySelector<HTMLElement & { session?: Client.Session }>("live-code");
    return live?.session?.signal("interrupt");
  });

test("a program that waits leaves the cursor to a user who edits, or is elsewhere", async (t) => {
  const { page } = await setUp(t);
  await run(page, "python", LATER);
  await output(page).filter({ hasText: "ready" }).waitFor();
  await code(page).press("ControlOrMeta+End");
  await page.keyboard.insertText("#");
  await signal(page);
  await waitForStatus(page, "waiting for input");
  await page.keyboard.insertText(" still here");
  assert.match((await code(page).textContent()) ?? "", /# still here/);
  await page.click("live-code .run");
  await output(page).filter({ hasText: /^ready\n$/ }).waitFor();
  await page.click("#share");
  await signal(page);
  await waitForStatus(page, "waiting for input");
  assert.equal(await isAtInput(page), false);
});

test("an editor that is out of view does not move its page", async (t) => {
  const server = await LiveServer.start(t);
  const pages = await Pages.start(t);
  const script = `<script src="${server.url}/static/livecode.js"></script>`;
  const body = `<live-code resume="a">${LATER}</live-code><p style="height: 5000px">below</p>${script}`;
  const page = await open(t, await createContext(t), pages.add(body));
  await page.click("live-code .run");
  await output(page).filter({ hasText: "ready" }).waitFor();
  await page.evaluate(() => scrollTo(0, 3000));
  await signal(page);
  await waitForStatus(page, "waiting for input");
  // The browser keeps what is seen in its place, also if something above it grows.
  assert.ok(await page.evaluate(() => scrollY >= 3000));
  assert.equal(await isAtInput(page), false);
  // A page that is opened again stays where it is, too.
  await page.evaluate(() => scrollTo(0, 0));
  await page.reload();
  await waitForStatus(page, "waiting for input");
  assert.equal(await page.evaluate(() => document.activeElement === document.body), true);
  await input(page).fill("Ada");
  await page.keyboard.press("Enter");
  await waitForStatus(page, "finished");
});
