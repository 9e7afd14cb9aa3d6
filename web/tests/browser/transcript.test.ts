/** The transcript of a program that asks: in each browser, now and later, it is that of a terminal. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test, { type TestContext } from "node:test";
import type { Page } from "playwright-core";
import {
  createContext,
  LiveServer,
  NetworkProxy,
  openFrontPage,
  output,
  source,
  waitForStatus,
  writeProgram,
} from "./harness.js";

const QUIZ = readFileSync(source("web/src/page/examples/quiz.py"), "utf8");
const TRANSCRIPT = `What is 7 times 8? 56
Right!
Which planet is closest to the sun? venus
No: it is mercury.
How many legs has a spider? 8
Right!
You have 2 of 3 points.
`;

async function answer(page: Page, question: string, text: string): Promise<void> {
  await output(page).filter({ hasText: question }).waitFor();
  await page.getByLabel("Input for the program").fill(text);
  await page.keyboard.press("Enter");
}

/** Opens the page in a browser of its own, and follows the newest session there. */
async function follow(t: TestContext, url: string): Promise<Page> {
  const page = await openFrontPage(t, await createContext(t), url);
  await page.click("#sessions");
  await page.locator("#session-list li").first().getByRole("button", { name: "Open" }).click();
  return page;
}

test("the quiz, answered in two browsers over cut connections, is a terminal's transcript", async (t) => {
  const server = await LiveServer.start(t);
  const proxy = await NetworkProxy.start(t, server.port);
  const page = await openFrontPage(t, await createContext(t), proxy.url);
  await writeProgram(page, "python", QUIZ);
  await page.click("live-code .run");
  await answer(page, "7 times 8?", "56");
  const second = await follow(t, server.url);
  await output(second).filter({ hasText: "closest to the sun?" }).waitFor();
  proxy.cut();
  await answer(page, "closest to the sun?", "venus");
  await output(second).filter({ hasText: "it is mercury" }).waitFor();
  proxy.cut();
  await answer(second, "legs has a spider?", "8");
  for (const each of [page, second]) {
    await waitForStatus(each, "finished");
    assert.equal(await output(each).textContent(), TRANSCRIPT);
  }
  await page.reload();
  await waitForStatus(page, "finished");
  assert.equal(await output(page).textContent(), TRANSCRIPT);
  const later = await follow(t, server.url);
  await waitForStatus(later, "finished");
  assert.equal(await output(later).textContent(), TRANSCRIPT);
  // Typed input has its own colour, whoever typed it.
  const typed = await output(later).locator(".typed").allTextContents();
  assert.deepEqual(typed.map((text) => text.trim()), ["56", "venus", "8"]);
});

test("a password is shown in no browser", async (t) => {
  const server = await LiveServer.start(t);
  const page = await openFrontPage(t, await createContext(t), server.url);
  await writeProgram(page, "python", "import getpass\nprint(len(getpass.getpass()), input('name? '))");
  await page.click("live-code .run");
  await answer(page, "Password:", "hush");
  await answer(page, "name?", "Ada");
  await waitForStatus(page, "finished");
  assert.equal(await output(page).textContent(), "Password: \nname? Ada\n4 Ada\n");
  await page.reload();
  await waitForStatus(page, "finished");
  assert.equal(await output(page).textContent(), "Password: \nname? Ada\n4 Ada\n");
});
