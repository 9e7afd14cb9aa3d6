/** The gallery: every example of the page is run. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { findAxeViolations, open, setUp, source } from "./harness.js";

test("every example of the gallery runs, and shows what it should", async (t) => {
  const { server, pages, context } = await setUp(t);
  const text = readFileSync(source("web/examples/gallery.html"), "utf8");
  const url = pages.add(text.replaceAll("http://127.0.0.1:8000", server.url).replace("<!doctype html>", ""));
  const page = await open(t, context, url);
  await page.locator("live-code .run").first().waitFor();
  const editors = await page.locator("live-code").all();
  assert.equal(editors.length, text.match(/<live-code /g)?.length);
  for (const editor of editors) {
    const expected = await editor.getAttribute("data-shows");
    assert.notEqual(expected, null, "an example says what it shows");
    await editor.locator(".run").click();
    await editor.locator(".status").filter({ hasText: "finished" }).waitFor();
    await editor.locator(".output").filter({ hasText: expected ?? "" }).waitFor();
    const passed = await editor.getAttribute("data-passed");
    if (passed) await editor.locator(`.verdict[data-passed=${passed}]`).waitFor();
  }
  assert.equal(await page.locator("#result").textContent(), "The page has read: 6\n");
  assert.deepEqual(await findAxeViolations(page), []);
});
