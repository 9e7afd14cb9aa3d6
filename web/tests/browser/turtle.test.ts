/**
 * Compares the drawings of Python's own turtle demos with reference pictures. `UPDATE=1`
 * overwrites the references, which must then be checked by eye.
 */

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import test from "node:test";
import { setTimeout } from "node:timers/promises";
import type { Page } from "playwright-core";
import {
  LiveServer,
  openFrontPage,
  source,
  createContext,
  waitForStatus,
  writeProgram,
} from "./harness.js";

const DEMOS = ["bytedesign", "peace", "tree", "yinyang"];
/** The share of the pixels that may differ. */
const MAX_DIFFERENCE = 0.01;
const reference = (demo: string) => source(`web/tests/browser/turtles/${demo}.png`);

/** A PNG of all layers of the canvas, scaled to a width of 120 pixels. */
function takePicture(page: Page): Promise<string> {
  return page.evaluate(() => {
    const layers = [
      ...(document.querySelector("live-code")?.shadowRoot?.querySelectorAll("canvas") ?? []),
    ];
    const [first] = layers;
    if (!first) throw new Error("nothing was drawn");
    const small = document.createElement("canvas");
    small.width = 120;
    small.height = Math.round((120 * first.height) / first.width);
    const pen = small.getContext("2d") as CanvasRenderingContext2D;
    pen.imageSmoothingQuality = "high";
    for (const layer of layers) pen.drawImage(layer, 0, 0, small.width, small.height);
    return small.toDataURL("image/png");
  });
}

/** The share of the pixels whose colours clearly differ. */
function difference(page: Page, one: string, other: string): Promise<number> {
  return page.evaluate(
    async (sources) => {
      const [a, b] = await Promise.all(
        sources.map(async (source) => {
          const image = new Image();
          image.src = source;
          await image.decode();
          const canvas = document.createElement("canvas");
          canvas.width = image.width;
          canvas.height = image.height;
          const pen = canvas.getContext("2d") as CanvasRenderingContext2D;
          pen.drawImage(image, 0, 0);
          return pen.getImageData(0, 0, image.width, image.height);
        }),
      );
      if (!a || !b || a.width !== b.width || a.height !== b.height) return 1;
      let others = 0;
      for (let at = 0; at < a.data.length; at += 4) {
        // Browsers differ a little in the smoothing of lines.
        const apart = [0, 1, 2, 3].some(
          (part) => Math.abs((a.data[at + part] as number) - (b.data[at + part] as number)) > 64,
        );
        if (apart) others++;
      }
      return (4 * others) / a.data.length;
    },
    [one, other],
  );
}

test("turtle's own demos match their reference pictures", async (t) => {
  const server = await LiveServer.start(t);
  const page = await openFrontPage(t, await createContext(t), `${server.url}/`);
  const known = new Map<string, string>();
  for (const demo of DEMOS) {
    await writeProgram(page, "python-canvas", `from turtledemo.${demo} import main\nmain()`);
    await page.click("live-code .run");
    await waitForStatus(page, "finished");
    if (process.env.UPDATE) {
      await setTimeout(1000);
      writeFileSync(
        reference(demo),
        Buffer.from((await takePicture(page)).replace(/^.*,/, ""), "base64"),
      );
    }
    known.set(demo, `data:image/png;base64,${readFileSync(reference(demo), "base64")}`);
    // The last drawings are shown with the browser's next frame.
    let apart = 1;
    for (const until = Date.now() + 5000; apart >= MAX_DIFFERENCE && Date.now() < until;)
      apart = await difference(page, await takePicture(page), known.get(demo) as string);
    t.diagnostic(`${demo}: ${(100 * apart).toFixed(2)}% of the pixels differ`);
    assert.ok(apart < MAX_DIFFERENCE, `${demo} differs from its reference: ${apart}`);
  }
  // The comparison detects different pictures.
  const [one, other] = [...known.values()] as [string, string];
  assert.ok((await difference(page, one, other)) > 5 * MAX_DIFFERENCE);
});
