/** Makes the screenshots in docs/images. It is run by `scripts/web screenshots`. */

import test from "node:test";
import type { Page } from "playwright-core";
import {
  setUp,
  LiveServer,
  open,
  openFrontPage,
  output,
  source,
  createContext,
  waitForStatus,
} from "./harness.js";

const imagePath = (name: string) => source(`docs/images/${name}.png`);
const wide = { viewport: { width: 1200, height: 720 } };
const chooseExample = (page: Page, title: string) =>
  page
    .getByRole("group", { name: "Examples" })
    .getByRole("button", { name: title, exact: true })
    .click();
const run = (page: Page) => page.click("live-code .run");
const waitForCanvas = (page: Page) => page.locator("live-code canvas").first().waitFor();

test("screenshots of the front page", async (t) => {
  const server = await LiveServer.start(t);
  const openPage = async (options: object) =>
    openFrontPage(t, await createContext(t, options), `${server.url}/`);

  const light = await openPage({ ...wide, colorScheme: "light" });
  await chooseExample(light, "Turtle");
  await run(light);
  await waitForStatus(light, "finished");
  await light.screenshot({ path: imagePath("page") });

  const dark = await openPage({ ...wide, colorScheme: "dark" });
  await chooseExample(dark, "Quiz");
  await run(dark);
  for (const [question, answer] of [
    ["times 8?", "56"],
    ["sun?", "venus"],
  ] as const) {
    await output(dark).filter({ hasText: question }).waitFor();
    await dark.getByLabel("Input for the program").fill(answer);
    await dark.keyboard.press("Enter");
  }
  await output(dark).filter({ hasText: "spider?" }).waitFor();
  await dark.screenshot({ path: imagePath("page-dark") });

  const phone = await openPage({
    viewport: { width: 390, height: 844 },
    hasTouch: true,
    isMobile: true,
    colorScheme: "light",
  });
  await chooseExample(phone, "Mouse game");
  await run(phone);
  await waitForCanvas(phone);
  await phone.screenshot({ path: imagePath("page-phone") });
});

test("screenshot of an embedded editor", async (t) => {
  const { server, pages, context } = await setUp(t);
  const code = `size(300, 120)
stroke(None)
for n in range(10):
    fill(255, 25 * n, 90)
    circle(30 + 26 * n, 60, 12 + 4 * n)`;
  const body = `<html lang="en"><title>A course</title><script src="${server.url}/static/livecode.js"></script>
    <body><h1>Circles</h1><p>Change the numbers, and run it again.</p><live-code runtime="python-canvas">${code}</live-code></body>`;
  const page = await open(t, context, pages.add(body));
  await page.setViewportSize({ width: 700, height: 560 });
  await run(page);
  await waitForStatus(page, "finished");
  await page.screenshot({ path: imagePath("editor") });
});
