/** A year of a pupil in a minute: nothing that was on the screen for a second is lost. */

import assert from "node:assert/strict";
import test from "node:test";
import { setTimeout } from "node:timers/promises";
import type { Page } from "playwright-core";
import { createContext, LiveServer, openFrontPage } from "../harness.js";

const RUNTIMES = ["python", "javascript", "bash", "c", "lua", "ruby"];
const STEPS = 90;
/** The most programs that are begun. Afterwards the pupil goes on with those. */
const MAX_PROGRAMS = 30;

/** Numbers that look random and are the same in each run. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
}

/** The texts of all programs and versions that the browser has. */
const storedTexts = (page: Page) =>
  page.evaluate(async () => {
    const open = indexedDB.open("livecode");
    await new Promise((resolve) => (open.onsuccess = resolve));
    const texts: string[] = [];
    for (const name of ["programs", "versions"]) {
      const request = open.result.transaction(name).objectStore(name).getAll();
      await new Promise((resolve) => (request.onsuccess = resolve));
      const all = request.result as { files: [string, string][] }[];
      texts.push(...all.flatMap(({ files }) => files.map(([, text]) => text)));
    }
    open.result.close();
    return texts.join("\n");
  });

test("a pupil loses nothing in a year of reloads, crashes, tabs and restarts", async (t) => {
  const server = await LiveServer.start(t);
  const context = await createContext(t);
  const random = createRandom(2026);
  const url = `${server.url}/`;
  const written: string[] = [];
  let loads = 0;
  let crashes = 0;
  let programs = 0;
  const open = async () => {
    loads++;
    return openFrontPage(t, context, url);
  };
  let page = await open();
  let other = await open();

  const write = async (at: Page, text: string) => {
    written.push(text);
    await at.locator(".cm-content").press("ControlOrMeta+End");
    await at.keyboard.insertText(`\n${text}`);
    await at.waitForFunction((text) => {
      const live = document.querySelector("live-code") as unknown as { code: string };
      return live.code.includes(text);
    }, text);
  };
  const actions: (() => Promise<unknown>)[] = [
    async () => {
      if (++programs > MAX_PROGRAMS) return;
      await page.getByLabel("Language").selectOption(RUNTIMES[random(RUNTIMES.length)] as string);
      await page.getByRole("button", { name: "New", exact: true }).click();
    },
    async () => {
      const examples = page.getByRole("group", { name: "Examples" }).getByRole("button");
      const count = await examples.count();
      if (count) await examples.nth(random(count)).click();
    },
    async () => {
      const own = page.getByRole("group", { name: "Your programs" }).getByRole("button");
      await own.nth(random(await own.count())).click();
    },
    async () => {
      loads++;
      await page.reload();
      await page.locator("live-code .run").waitFor();
    },
    async () => {
      const closed = page.waitForEvent("close");
      await page.close({ runBeforeUnload: true });
      await closed;
      page = await open();
    },
    async () => {
      [page, other] = [other, page];
    },
    async () => {
      if (crashes >= 5) return;
      crashes++;
      await setTimeout(1000); // what was on the screen for a second is kept
      const session = await context.newCDPSession(page);
      const crashed = page.waitForEvent("crash");
      void session.send("Page.crash").catch(() => {});
      await crashed;
      page = await open();
    },
    async () => {
      if (random(4)) return;
      await server.kill();
      await server.restart();
    },
  ];
  for (let step = 0; step < STEPS; step++) {
    await (actions[random(actions.length)] as () => Promise<unknown>)();
    await write(page, `# line ${step} of the year;`);
  }
  loads++;
  await page.reload();
  await page.locator("live-code .run").waitFor();
  const texts = await storedTexts(page);
  const lost = written.filter((line) => !texts.includes(line));
  t.diagnostic(`${written.length} lines in ${loads} page loads with ${crashes} crashes`);
  assert.deepEqual(lost, []);
});
