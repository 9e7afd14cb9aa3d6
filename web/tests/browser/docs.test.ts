/** Every example of the documents is run as it is written. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { bench, open, source } from "./harness.js";

/** The blocks of a document that are in this language, for this server. */
function blocks(name: string, language: string, server: string): string[] {
  const text = readFileSync(source(name), "utf8").replaceAll("http://127.0.0.1:8000", server);
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "gms"))].map((match) => match[1] as string);
}

test("the pages of docs/embedding.md", async (t) => {
  const { server, pages, context } = await bench(t);
  const shown: string[] = [];
  for (const block of blocks("docs/embedding.md", "html", server.url)) {
    const page = await open(t, context, "about:blank");
    const said = block.includes("console.log") ? page.waitForEvent("console") : undefined;
    await page.goto(pages.put(block));
    if (said) {
      shown.push((await said).text());
      continue;
    }
    await page.click(".run");
    await page.locator("[data-state=ended][data-exitstatus='0']").waitFor();
    await page.locator(".output").filter({ hasText: /./ }).waitFor();
    shown.push((await page.textContent(".output")) ?? "");
  }
  assert.deepEqual(shown, ["hello, world!\n", "some data\n", "42\n", "hello, world!\n", "a note: C4", "right"]);
});

test("the programs of docs/client.md", async (t) => {
  const { server, pages, context } = await bench(t);
  const shown: string[][] = [];
  for (const block of blocks("docs/client.md", "js", server.url)) {
    const page = await open(t, context, "about:blank");
    const said: string[] = [];
    page.on("console", (message) => said.push(message.text()));
    await page.goto(pages.put(`<script type="module">${block}\ndocument.title = "done";</script>`));
    await page.waitForFunction(() => document.title === "done");
    shown.push(said);
  }
  assert.deepEqual(shown, [["42\n", "exit status 0"], ["name? hello Ada\n", "0"]]);
});
