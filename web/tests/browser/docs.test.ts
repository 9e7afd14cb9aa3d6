/** Runs every example of the documents unchanged. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import test, { type TestContext } from "node:test";
import { promisify } from "node:util";
import { LiveServer, open, type Pages, setUp, source } from "./harness.js";

/** The code blocks in one language of a document. */
function blocks(name: string, language: string): string[] {
  const text = readFileSync(source(name), "utf8");
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "gms"))].map(
    (match) => match[1] as string,
  );
}

const withAddress = (block: string, server: LiveServer) =>
  block.replaceAll("http://127.0.0.1:8000", server.url);

/** A server that knows the users of a site: the site answers tokens as the document shows. */
async function startForSite(t: TestContext, pages: Pages): Promise<LiveServer> {
  const server = await LiveServer.startWithTokens(t);
  const token = await server.token("create", "site", "--role", "admin");
  const env = { ...process.env, LIVECODE_TOKEN: token };
  const [code = ""] = blocks("docs/embedding.md", "python");
  const program = `${withAddress(code, server)}\nprint(livecode_token("ada"))`;
  const { stdout } = await promisify(execFile)("python3", ["-c", program], { env });
  pages.answer("/livecode-token", () => [200, stdout]);
  return server;
}

test("the pages of docs/embedding.md work", async (t) => {
  const { server, pages, context } = await setUp(t);
  const siteServer = await startForSite(t, pages);
  const shown: string[] = [];
  for (const text of blocks("docs/embedding.md", "html")) {
    const block = withAddress(text, text.includes("livecode-token") ? siteServer : server);
    const page = await open(t, context, "about:blank");
    const logged = block.includes("console.log") ? page.waitForEvent("console") : undefined;
    await page.goto(pages.add(block));
    if (logged) {
      const run = page.locator("live-code .run");
      if (block.includes("<live-code")) await run.click();
      shown.push((await logged).text());
      continue;
    }
    const shower = block.includes("<iframe") ? page.frameLocator("iframe") : page;
    await shower.locator(".run").last().click();
    await shower.locator("[data-state=ended][data-exitstatus='0']").last().waitFor();
    const place = shower.locator(block.includes("cases") ? ".verdict" : ".output").last();
    await place.filter({ hasText: /./ }).waitFor();
    shown.push((await place.textContent()) ?? "");
    if (block.includes("expected")) await shower.locator(".verdict[data-passed=true]").waitFor();
    // The frame that asks for a height gets it.
    if (!block.includes("?resize")) continue;
    await page.waitForFunction(() => document.querySelector("iframe")?.height !== "300");
    const height = await page.locator("iframe").evaluate((frame) => frame.clientHeight);
    const body = shower.locator("body");
    assert.equal(Math.ceil((await body.boundingBox())?.height ?? 0), height);
  }
  assert.deepEqual(shown, [
    "hello, world!\n",
    "some data\n",
    "144\n",
    "42\n",
    "✓ 2 of 2 cases passed.",
    "yes",
    "42\n",
    "resized\n",
    "42\n",
    "hello, Ada!\n",
    "hello, world!\n",
    "a note: C4",
    "right",
  ]);
});

test("the programs of docs/client.md work", async (t) => {
  const { server, pages, context } = await setUp(t);
  const siteServer = await startForSite(t, pages);
  const shown: string[][] = [];
  for (const text of blocks("docs/client.md", "js")) {
    const block = withAddress(text, text.includes("livecode-token") ? siteServer : server);
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
    ["42\n"],
  ]);
});
