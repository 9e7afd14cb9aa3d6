/** Makes the pictures of docs/images: `scripts/web screenshots`. */

import test from "node:test";
import type { Page } from "playwright-core";
import { bench, LiveServer, open, openFront, output, source, startContext, status } from "./harness.js";

const at = (name: string) => source(`docs/images/${name}.png`);
const wide = { viewport: { width: 1200, height: 720 } };
const example = (page: Page, title: string) => page.getByRole("group", { name: "Examples" }).getByRole("button", { name: title, exact: true }).click();
const run = (page: Page) => page.click("live-code .run");
const drawn = (page: Page) => page.locator("live-code canvas").first().waitFor();

test("the front page", async (t) => {
  const server = await LiveServer.start(t);
  const begin = async (options: object) => openFront(t, await startContext(t, options), `${server.url}/`);

  const light = await begin({ ...wide, colorScheme: "light" });
  await example(light, "Turtle");
  await run(light);
  await status(light, "finished");
  await light.screenshot({ path: at("page") });

  const dark = await begin({ ...wide, colorScheme: "dark" });
  await example(dark, "Quiz");
  await run(dark);
  for (const [question, answer] of [["times 8?", "56"], ["sun?", "venus"]] as const) {
    await output(dark).filter({ hasText: question }).waitFor();
    await dark.getByLabel("Input for the program").fill(answer);
    await dark.keyboard.press("Enter");
  }
  await output(dark).filter({ hasText: "spider?" }).waitFor();
  await dark.screenshot({ path: at("page-dark") });

  const phone = await begin({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, colorScheme: "light" });
  await example(phone, "Mouse game");
  await run(phone);
  await drawn(phone);
  await phone.screenshot({ path: at("page-phone") });
});

test("an embedded editor", async (t) => {
  const { server, pages, context } = await bench(t);
  const code = `size(300, 120)
stroke(None)
for n in range(10):
    fill(255, 25 * n, 90)
    circle(30 + 26 * n, 60, 12 + 4 * n)`;
  const body = `<html lang="en"><title>A course</title><script src="${server.url}/static/livecode.js"></script>
    <body><h1>Circles</h1><p>Change the numbers, and run it again.</p><live-code runtime="python-canvas">${code}</live-code></body>`;
  const page = await open(t, context, pages.put(body));
  await page.setViewportSize({ width: 700, height: 560 });
  await run(page);
  await status(page, "finished");
  await page.screenshot({ path: at("editor") });
});
