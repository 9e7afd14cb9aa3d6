/** Runs every example of the documents unchanged. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { setUp, open, source } from "./harness.js";

/** The code blocks in one language of a document, with the address of this server. */
function blocks(name: string, language: string, server: string): string[] {
  const text = readFileSync(source(name), "utf8").replaceAll("http://127.0.0.1:8000", server);
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "gms"))].map(
    (match) => match[1] as string,
  );
}

test("the pages of docs/embedding.md work", async (t) => {
  const { server, pages, context } = await setUp(t);
  const shown: string[] = [];
  for (const block of blocks("docs/embedding.md", "html", server.url)) {
    const page = await open(t, context, "about:blank");
    const logged = block.includes("console.log") ? page.waitForEvent("console") : undefined;
    await page.goto(pages.add(block));
    if (logged) {
      shown.push((await logged).text());
      continue;
    }
    await page.click(".run");
    await page.locator("[data-state=ended][data-exitstatus='0']").waitFor();
    await page.locator(".output").filter({ hasText: /./ }).waitFor();
    shown.push((await page.textContent(".output")) ?? "");
  }
  assert.deepEqual(shown, [
    "hello, world!\n",
    "some data\n",
    "42\n",
    "hello, world!\n",
    "a note: C4",
    "right",
  ]);
});

test("the programs of docs/client.md work", async (t) => {
  const { server, pages, context } = await setUp(t);
  const shown: string[][] = [];
  for (const block of blocks("docs/client.md", "js", server.url)) {
    const page = await open(t, context, "about:blank");
    const logged: string[] = [];
    page.on("console", (message) => logged.push(message.text()));
    await page.goto(pages.add(`<script type="module">${block}\ndocument.title = "done";</script>`));
    await page.waitForFunction(() => document.title === "done");
    shown.push(logged);
  }
  assert.deepEqual(shown, [
    ["42\n", "exit status 0"],
    ["name? hello Ada\n", "0"],
  ]);
});
