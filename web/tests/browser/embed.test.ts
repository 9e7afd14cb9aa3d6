/** Editors in pages that have styles, shortcuts and columns of their own. */

import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import type { Page } from "playwright-core";
import { findAxeViolations, open, output, setUp, source, waitForStatus } from "./harness.js";

async function setUpPage(t: TestContext, body: string, head = "") {
  const { server, pages, context } = await setUp(t);
  const script = `<script src="${server.url}/static/livecode.js"></script>`;
  const start = `<html lang="en"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><title>A page</title>`;
  const page = await open(t, context, pages.add(start + head + script + body));
  await page.locator("live-code").first().locator(".cm-content").waitFor({ state: "attached" });
  return { server, page };
}

const codeOf = (page: Page) =>
  page.evaluate(() => (document.querySelector("live-code") as unknown as { code: string }).code);

test("what is typed in an editor is no shortcut of the page", async (t) => {
  const body = `
    <live-code>input()
from livecode import send
send("draw", shape="circle", args=[1, 2, 3])
input() #</live-code>
    <script>
      const heard = [];
      for (const name of ["keydown", "keypress", "keyup"])
        document.addEventListener(name, ({ key }) => heard.push(name + " " + key));
      addEventListener("touchmove", () => heard.push("touchmove"));
    </script>`;
  const { page } = await setUpPage(t, body);
  const heard = () => page.evaluate("heard.splice(0)") as Promise<string[]>;
  await page.locator(".cm-content").click();
  await page.keyboard.press("Control+End");
  for (const key of ["n", "?", ".", " ", "Enter", "ArrowRight", "PageDown", "Home", "Escape", "Backspace"]) {
    await page.keyboard.press(key);
  }
  assert.deepEqual((await heard()).filter((one) => !/Control|End$/.test(one)), []);
  await page.keyboard.press("Control+Enter");
  const input = page.getByLabel("Input for the program");
  await input.waitFor();
  await input.focus();
  await page.keyboard.type("fbs");
  await page.keyboard.press("Enter");
  await page.locator("live-code .canvas canvas").waitFor();
  await page.locator("live-code .canvas").focus();
  for (const key of ["ArrowLeft", " ", "p"]) await page.keyboard.press(key);
  for (const part of ["output", "stop", "reset"]) {
    await page.locator(`live-code .${part}`).focus();
    for (const key of ["ArrowLeft", "o"]) await page.keyboard.press(key);
  }
  const more = await heard();
  assert.ok(!more.includes("keydown Enter"), "the key that runs the program is the editor's own");
  assert.deepEqual(more.filter((one) => !/Control|keyup Enter/.test(one)), []);
  // The page's own shortcuts that nothing in the editor uses still work.
  for (const key of ["Control+s", "F2"]) await page.keyboard.press(key);
  const passed = await heard();
  for (const one of ["keydown s", "keydown F2"]) assert.ok(passed.includes(one), passed.join());
  await page.evaluate(() => (document.activeElement as HTMLElement).blur());
  await page.keyboard.press("n");
  assert.deepEqual(await heard(), ["keydown n", "keypress n", "keyup n"]);
});

test("an editor in a slide of reveal.js keeps its keys, and hides with its slide", async (t) => {
  const body = `<div class="reveal"><div class="slides">
    <section><h2>One</h2></section>
    <section><live-code></live-code></section>
    <section><h2>Three</h2></section></div></div>`;
  const { page } = await setUpPage(t, body);
  const folder = source("web/node_modules/reveal.js/dist/");
  await page.addStyleTag({ path: `${folder}reveal.css` });
  await page.addScriptTag({ path: `${folder}reveal.js` });
  const deck = (call: string) => page.evaluate(`Reveal.${call}`);
  await deck("initialize({ transition: 'none', mouseWheel: true })");
  const run = page.locator("live-code .run");
  const isReachable = () =>
    run.evaluate((button) => {
      const { x, y, width, height } = button.getBoundingClientRect();
      return document.elementFromPoint(x + width / 2, y + height / 2)?.localName === "live-code";
    });
  assert.equal(await isReachable(), false, "another slide is shown");
  await page.keyboard.press("ArrowRight");
  await page.waitForFunction("Reveal.getIndices().h === 1");
  await page.waitForFunction("document.querySelector('section.present live-code')");
  assert.equal(await isReachable(), true);

  const text = "# n p f b o v . ? next\nprint(1)";
  await page.locator(".cm-content").click();
  await page.keyboard.type(text);
  for (const key of ["Home", "ArrowLeft", "ArrowRight", "PageDown", "PageUp", "Escape"]) {
    await page.keyboard.press(key);
  }
  await page.keyboard.press("Control+Enter");
  await waitForStatus(page, "finished");
  await run.focus();
  for (const key of ["ArrowRight", "n", "o"]) await page.keyboard.press(key);
  assert.equal(await codeOf(page), text);
  assert.deepEqual(
    await page.evaluate("[Reveal.getIndices().h, Reveal.isOverview(), Reveal.isPaused()]"),
    [1, false, false],
  );
  // Outside of the editor the keys are the deck's again.
  await page.evaluate(() => (document.activeElement as HTMLElement).blur());
  await page.keyboard.press("ArrowRight");
  await page.waitForFunction("Reveal.getIndices().h === 2");
});

/** A style sheet with unusual values of all properties that are inherited. */
const HOSTILE = `<style>* { text-transform: uppercase; text-align: center; direction: rtl; font: italic small-caps 900 30px/3 cursive;
  letter-spacing: 4px; word-spacing: 9px; white-space: nowrap; text-indent: 3em; tab-size: 2; hyphens: auto; word-break: break-all;
  overflow-wrap: anywhere; text-shadow: 1px 1px red; color: red; quotes: "x" "y"; list-style: square; cursor: wait; caret-color: red;
  font-feature-settings: "smcp"; font-kerning: none; font-stretch: expanded; line-break: anywhere; text-align-last: right; border-spacing: 9px;
  border-collapse: collapse; caption-side: bottom; empty-cells: hide; orphans: 4; text-underline-offset: 9px; text-emphasis: dot; user-select: none;
  -webkit-text-stroke: 1px red; --own: red; --rgb: red; unicode-bidi: bidi-override; accent-color: red; line-height: 3; }
  .place { width: 600px; }</style>`;

test("styles of the page do not reach code and output", async (t) => {
  const program = String.raw`# words
import sys, livecode
print("out \x1b[31mred\x1b[0m a\tb  c", end="\n\n")
print("err", file=sys.stderr)
livecode.send("table", columns=["name", "n"], rows=[["Ada", 1.5]])`;
  const body = `<div class="place" style="width: 600px"><live-code><pre data-filename="main.py">${program}</pre><pre data-filename="b.py">b</pre></live-code></div>`;
  /** The computed styles and the places of everything in the editor. */
  const stylesOf = async (page: Page) => {
    await page.click("live-code .run");
    await waitForStatus(page, "finished");
    await output(page).locator("table").waitFor();
    await page.locator(".cm-content .tok-comment").waitFor();
    await page.mouse.move(0, 0);
    await page.locator("live-code .output").focus();
    return page.evaluate(() => {
      const root = document.querySelector("live-code")?.shadowRoot as ShadowRoot;
      const frame = root.querySelector(".frame") as Element;
      const place = frame.getBoundingClientRect();
      return [frame, ...frame.querySelectorAll("*:not(.cm-announced)")].map((element) => {
        const style = getComputedStyle(element);
        const { x, y, width, height } = element.getBoundingClientRect();
        const properties = [...style].filter((name) => !name.startsWith("--") && !/origin|^(left|right|inset-inline)/.test(name));
        return {
          name: `${element.localName}.${element.className}`,
          box: width ? [x - place.x, y - place.y, width, height].map(Math.round).join() : "",
          styles: properties.map((name) => `${name}: ${style.getPropertyValue(name)}`),
        };
      });
    });
  };
  const plain = await stylesOf((await setUpPage(t, body)).page);
  const hostile = await setUpPage(t, `<div dir="rtl">${body}</div>`, HOSTILE);
  const styled = await stylesOf(hostile.page);
  assert.ok(plain.length > 30, `${plain.length} elements`);
  assert.deepEqual(styled.map(({ name }) => name), plain.map(({ name }) => name));
  for (const [at, { name, box, styles }] of styled.entries()) {
    const expected = plain[at];
    assert.deepEqual(styles.filter((one, n) => one !== expected?.styles[n]), [], name);
    assert.equal(box, expected?.box, name);
  }
  assert.equal(
    await hostile.page.locator("live-code .output").evaluate((element) => (element as HTMLElement).innerText.split("\n")[0]),
    "out red a\tb  c",
  );
});

test("an editor that its page hides is hidden", async (t) => {
  const { page } = await setUpPage(t, `<div style="visibility: hidden"><live-code>1</live-code></div>`);
  assert.equal(await page.locator("live-code .run").isVisible(), false);
  const pointer = page.locator("live-code .run");
  await page.evaluate(() => {
    Object.assign((document.querySelector("live-code") as HTMLElement).style, { pointerEvents: "none" });
  });
  assert.equal(await pointer.evaluate((button) => getComputedStyle(button).pointerEvents), "none");
});

test("an editor of a given height keeps to it in columns of any width", async (t) => {
  const lines = Array.from({ length: 40 }, (_, n) => `print(${n})`).join("\n");
  const program = `size(300, 300)\ncircle(9, 9, 9)\n${lines}\ninput()`;
  const body = `<style>body { margin: 0 }</style><div id="column"><live-code runtime="python-canvas">${program}</live-code><p id="after">after</p></div>`;
  const { page } = await setUpPage(t, body);
  const measure = (width: number, style: string, layout: string) =>
    page.evaluate(
      ([width, style, layout]) => {
        const editor = document.querySelector("live-code") as HTMLElement;
        (document.querySelector("#column") as HTMLElement).style.width = `${width}px`;
        editor.setAttribute("style", style as string);
        if (layout) editor.setAttribute("layout", layout as string);
        else editor.removeAttribute("layout");
        const root = editor.shadowRoot as ShadowRoot;
        const boxOf = (element: Element) => element.getBoundingClientRect();
        const parts = [".bar", ".code", ".shown"].map((name) => boxOf(root.querySelector(name) as Element));
        const bottom = Math.max(...parts.map((box) => box.bottom));
        return {
          height: boxOf(editor).height,
          over: Math.round(bottom - boxOf(editor).bottom),
          gap: Math.round(boxOf(document.querySelector("#after") as Element).top - bottom),
          least: Math.min(...parts.map((box) => box.height)),
          wide: Math.round((root.querySelector(".frame") as Element).scrollWidth - boxOf(editor).width),
        };
      },
      [width, style, layout] as const,
    );
  const check = async (state: string) => {
    for (const width of [320, 500, 790, 1000]) {
      for (const layout of ["split", ""]) {
        for (const style of ["height: 260px", "height: 400px", "height: 900px", "max-height: 300px", "min-height: 700px", ""]) {
          const name = `${state}, ${width} px, "${layout}", "${style}"`;
          const { height, over, gap, least, wide } = await measure(width, style, layout);
          const wanted = Number(/^height: (\d+)/.exec(style)?.[1]);
          if (wanted) assert.equal(height, wanted, name);
          if (style.startsWith("max")) assert.ok(height <= 300, `${name}: ${height}`);
          if (style.startsWith("min")) assert.ok(height >= 700, `${name}: ${height}`);
          assert.ok(over <= 0, `${name}: ${over} px over`);
          assert.ok(gap >= 0, `${name}: what follows is covered, ${gap}`);
          assert.ok(least >= 40, `${name}: a part has ${least} px`);
          assert.ok(wide <= 0, `${name}: ${wide} px too wide`);
        }
      }
    }
  };
  await check("before");
  await page.click("live-code .run");
  await output(page).filter({ hasText: "39\n" }).waitFor();
  await check("running");
  // Everything can be reached, whatever the size.
  await measure(320, "height: 260px", "split");
  await page.getByLabel("Input for the program").fill("x");
  await page.keyboard.press("Enter");
  await waitForStatus(page, "finished");
});

test("a wide table scrolls, and its numbers stay whole", async (t) => {
  const code = `import livecode
livecode.send("table", columns=[f"column {n}" for n in range(30)], rows=[[1234567.875 * n for n in range(30)]] * 3)
livecode.send("table", columns=["text"], rows=[["many words " * 40], ["x" * 500]])
livecode.send("table", columns=["n"], rows=[[1], ["text"]])`;
  const { page } = await setUpPage(t, `<main><h1>A page</h1><div style="width: 300px"><live-code>${code}</live-code></div></main>`);
  await page.click("live-code .run");
  await waitForStatus(page, "finished");
  const tables = page.locator("live-code .output .table");
  assert.equal(await tables.count(), 3);
  const [wide, , small] = await tables.evaluateAll((all) =>
    all.map((one) => ({ scroll: one.scrollWidth, client: one.clientWidth, tops: [...one.querySelectorAll("td")].map((cell) => cell.clientHeight) })),
  );
  assert.ok(wide && wide.scroll > 3 * wide.client, `${wide?.scroll} of ${wide?.client}`);
  assert.ok(wide.tops.every((height) => height < 45), `lines: ${wide.tops.join()}`);
  assert.ok(small && small.scroll === small.client && small.client < 150, "a small table is small");
  const [outside, inside] = await output(page).evaluate((one) => [one.scrollWidth, one.clientWidth] as const);
  assert.ok(outside <= inside, `the output needs ${outside} of ${inside} pixels`);
  await tables.first().focus();
  await page.keyboard.press("End");
  await page.keyboard.press("ArrowRight");
  await page.waitForFunction(() => {
    const table = document.querySelector("live-code")?.shadowRoot?.querySelector(".table");
    return (table?.scrollLeft ?? 0) > 0;
  });
  assert.deepEqual(await findAxeViolations(page), []);
});

test("music goes on after its program, and is ended by Stop, another run and another program", async (t) => {
  const music = `import livecode
for n in range(100): livecode.send("play", note="A4", at=n)
print("sent")`;
  const { page } = await setUpPage(t, `<live-code id="one">${music}</live-code><live-code id="two">print("two")</live-code>`);
  await page.evaluate(() => {
    const contexts: AudioContext[] = [];
    window.AudioContext = class extends AudioContext {
      constructor() {
        super();
        contexts.push(this);
      }
    };
    Object.assign(window, { sounding: () => contexts.filter(({ state }) => state !== "closed").length });
  });
  const sounding = (count: number) =>
    page.waitForFunction(
      (count) => (window as unknown as { sounding: () => number }).sounding() === count,
      count,
    );
  const one = page.locator("#one");
  const stop = one.locator(".stop");
  const play = async () => {
    await one.locator(".run").click();
    await one.locator(".status").filter({ hasText: "finished" }).waitFor();
    await sounding(1);
    assert.equal(await stop.isDisabled(), false, "the notes can be stopped");
  };
  await play();
  await stop.click();
  await sounding(0);
  assert.equal(await stop.isDisabled(), true);
  assert.equal(await one.locator(".status").textContent(), "finished");
  assert.equal(await one.evaluate((editor) => editor.shadowRoot?.activeElement?.className), "run");
  // Another run of the same editor, and one of another editor of the page.
  await play();
  await play();
  await page.locator("#two .run").click();
  await sounding(0);
  assert.equal(await stop.isDisabled(), true);
  // Another program is shown.
  await play();
  await one.evaluate((editor) => (editor as unknown as { load(...of: string[]): void }).load("python", "1"));
  await sounding(0);
  // The editor is removed.
  await one.evaluate((editor, music) => (editor as unknown as { load(...of: string[]): void }).load("python", music), music);
  await play();
  await one.evaluate((editor) => editor.remove());
  await sounding(0);
});

test("in forced colours, Run has its triangle, and what is selected or disabled is marked", async (t) => {
  const files = `<main><h1>A page</h1><live-code><pre data-filename="main.py">print("\\x1b[7mreverse")</pre><pre data-filename="b.py">b</pre></live-code></main>`;
  const { page } = await setUpPage(t, files);
  await page.emulateMedia({ forcedColors: "active", colorScheme: "dark" });
  const run = page.locator("live-code .run");
  const picture = (await run.screenshot()).toString("base64");
  /** The number of pixels that differ from the ground, in each column of the triangle's place. */
  const counts = await page.evaluate(async (picture) => {
    const image = new Image();
    image.src = `data:image/png;base64,${picture}`;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.width, image.height];
    const pen = canvas.getContext("2d") as CanvasRenderingContext2D;
    pen.drawImage(image, 0, 0);
    // Left of the word: the padding of 14 pixels, and the triangle of 8.
    const { data } = pen.getImageData(14, 6, 10, image.height - 12);
    const rows = data.length / 4 / 10;
    const at = (x: number, y: number) => data.slice(4 * (10 * y + x), 4 * (10 * y + x) + 3).join();
    return Array.from({ length: 10 }, (_, x) => {
      let count = 0;
      for (let y = 0; y < rows; y++) if (at(x, y) !== at(9, 0)) count++;
      return count;
    });
  }, picture);
  const [first = 0, last = 0] = [Math.max(...counts.slice(0, 3)), counts[7]];
  assert.ok(first >= 7 && last <= 4, `no triangle: ${counts.join()}`);
  const groundOf = (name: string) =>
    page.locator(`live-code ${name}`).evaluate((one) => getComputedStyle(one).backgroundColor);
  assert.notEqual(await groundOf(".tabs [aria-selected=true]"), await groundOf(".tabs [aria-selected=false]"));
  const colourOf = (name: string) =>
    page.locator(`live-code ${name}`).evaluate((one) => getComputedStyle(one).color);
  assert.notEqual(await colourOf(".stop"), await colourOf(".reset"));
  await run.click();
  await waitForStatus(page, "finished");
  assert.notEqual(await groundOf(".output .inverse"), await groundOf(".output"));
  assert.deepEqual(await findAxeViolations(page), []);
});
