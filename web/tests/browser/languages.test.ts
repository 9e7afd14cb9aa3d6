/** The languages of the interface. */

import assert from "node:assert/strict";
import test from "node:test";
import type { BrowserContext, Page } from "playwright-core";
import {
  createContext,
  findAxeViolations,
  LiveServer,
  open,
  openFrontPage,
  output,
  setUp,
  waitForStatus,
} from "./harness.js";

/** The files of words that a page requests, which are added to the list as they are. */
function watchWords(context: BrowserContext): string[] {
  const names: string[] = [];
  context.on("request", (request) => {
    const name = /livecode-words-(\w+)\.js/.exec(request.url())?.[1];
    if (name) names.push(name);
  });
  return names;
}

const runText = (page: Page) => page.locator("live-code .run").first().textContent();

test("the page speaks the first of the browser's languages that it knows, and loads no other", async (t) => {
  const server = await LiveServer.start(t);
  const cases = [
    [["de-AT"], "de", "Ausführen"],
    [["fr-FR", "es-MX", "en"], "es", "Ejecutar"],
    [["fr-FR"], "en", "Run"],
    [["EN-gb", "de"], "en", "Run"],
  ] as const;
  for (const [languages, expected, run] of cases) {
    const context = await createContext(t);
    await context.addInitScript((list) => {
      Object.defineProperty(Navigator.prototype, "languages", { get: () => list });
    }, languages as readonly string[]);
    const loaded = watchWords(context);
    const page = await openFrontPage(t, context, `${server.url}/`);
    assert.equal(await runText(page), run);
    assert.equal(await page.getAttribute("html", "lang"), expected);
    assert.equal(await page.locator("live-code .frame").getAttribute("lang"), expected);
    assert.deepEqual([...new Set(loaded)], [expected]);
  }
});

test("a program is written, run and shared in German and in Spanish, and axe finds nothing", async (t) => {
  const server = await LiveServer.start(t);
  const cases = [
    {
      locale: "de-DE",
      viewport: { width: 320, height: 700 },
      finished: "fertig",
      failed: "mit Exit-Status 3 beendet",
      programs: "Programme",
      mine: "Mein Programm",
      age: "gerade eben",
      share: "Teilen",
      close: "Schließen",
    },
    {
      locale: "es-ES",
      viewport: { width: 1280, height: 800 },
      finished: "terminado",
      failed: "terminado con el estado de salida 3",
      programs: "Programas",
      mine: "Mi programa",
      age: "ahora mismo",
      share: "Compartir",
      close: "Cerrar",
    },
  ];
  for (const { locale, viewport, finished, failed, programs, mine, age, share, close } of cases) {
    const context = await createContext(t, { locale, viewport });
    const page = await openFrontPage(t, context, `${server.url}/`);
    await page.locator(".cm-content").press("ControlOrMeta+a");
    await page.keyboard.insertText("print(1)");
    await page.getByRole("button", { name: mine, exact: true }).waitFor();
    await page.click("live-code .run");
    await waitForStatus(page, finished);
    await page.locator(".cm-content").press("ControlOrMeta+a");
    await page.keyboard.insertText("raise SystemExit(3)");
    await page.click("live-code .run");
    await waitForStatus(page, failed);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
    assert.deepEqual(await findAxeViolations(page), [], locale);
    await page.getByRole("button", { name: programs, exact: true }).click();
    await page.locator("#programs-dialog .title").filter({ hasText: mine }).waitFor();
    await page.locator("#programs-dialog .more").filter({ hasText: age }).first().waitFor();
    assert.deepEqual(await findAxeViolations(page), [], locale);
    await page.getByRole("button", { name: close, exact: true }).click();
    await page.getByRole("button", { name: share, exact: true }).click();
    await page.locator("#share-dialog[open]").waitFor();
    assert.deepEqual(await findAxeViolations(page), [], locale);
  }
});

test("another language is chosen at the foot of the page, and stays, with the work", async (t) => {
  const server = await LiveServer.start(t);
  const context = await createContext(t, { locale: "de-DE" });
  const page = await openFrontPage(t, context, `${server.url}/`);
  await page.locator(".cm-content").press("ControlOrMeta+a");
  await page.keyboard.insertText("print('mine')");
  await page.getByRole("button", { name: "Mein Programm", exact: true }).waitFor();
  const picker = page.getByLabel("Diese Seite anzeigen auf");
  assert.deepEqual(await picker.locator("option").allTextContents(), ["English", "Deutsch", "Español"]);
  assert.equal(await picker.inputValue(), "de");
  await Promise.all([page.waitForEvent("load"), picker.selectOption("es")]);
  await page.getByRole("button", { name: "Ejecutar" }).click();
  await waitForStatus(page, "terminado");
  assert.equal(await output(page).textContent(), "mine\n");
  const other = await openFrontPage(t, context, `${server.url}/`);
  assert.equal(await runText(other), "Ejecutar");
});

test("the script tag of another page names the language, or else the browser does", async (t) => {
  const { server, pages, context } = await setUp(t);
  const tag = (attribute: string) =>
    `<html lang="fr"><script src="${server.url}/static/livecode.js" ${attribute}></script><live-code>print(1)</live-code>`;
  const cases = [
    ['data-lang="es"', "Ejecutar"],
    ['data-lang="de-CH"', "Ausführen"],
    ['data-lang="tlh"', "Run"],
    ["", "Run"],
  ] as const;
  for (const [attribute, run] of cases) {
    const page = await open(t, context, pages.add(tag(attribute)));
    await page.locator("live-code .run").waitFor();
    assert.equal(await runText(page), run, attribute);
    assert.equal(await page.getAttribute("html", "lang"), "fr", "the page's own language is left alone");
  }
});

test("the page is shown in English if the words of its language do not come", async (t) => {
  const server = await LiveServer.start(t);
  const context = await createContext(t, { locale: "de-DE" });
  await context.route("**/livecode-words-de.js", (route) => route.abort());
  const page = await open(t, context, `${server.url}/`);
  await page.locator("live-code .run").waitFor();
  assert.equal(await runText(page), "Run");
  assert.equal(await page.getAttribute("html", "lang"), "en");
});

/** Marks all words of a file of words. */
const MARK = (text: string) =>
  text.replace(
    /export\s*\{\s*(\w+) as default\s*\};?/,
    `const mark = (word) => typeof word === "function" ? (...parts) => "⟦" + word(...parts) + "⟧" : "⟦" + word + "⟧";
     export default Object.fromEntries(Object.entries($1).map(([key, word]) => [key, key === "lang" ? "de" : mark(word)]));`,
  );

/** The texts that are seen or read out, and are not of the words. */
const findUnmarked = (page: Page) =>
  page.evaluate(() => {
    const found: string[] = [];
    const check = (text: string | null, place: Element | null) => {
      // The name of the page; names of languages, programming languages and keys; what programs show.
      const isData = place?.closest("h1, #interface-language, #runtime, #session-runtime, .cm-editor, .output, script, style, pre, noscript");
      if (text && /\p{L}/u.test(text) && !isData && !/^[^⟦]*⟦.*⟧[^⟧]*$/su.test(text)) found.push(text);
    };
    const visit = (root: Document | ShadowRoot) => {
      const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
      while (walker.nextNode()) {
        const { parentElement } = walker.currentNode;
        if (!parentElement?.closest("head")) check(walker.currentNode.textContent, parentElement);
      }
      for (const element of root.querySelectorAll("*")) {
        for (const name of ["aria-label", "title", "placeholder", "alt", "aria-description", "aria-valuetext"]) {
          const isNumber = name === "aria-valuetext";
          if (!isNumber) check(element.getAttribute(name), element.matches(".cm-scroller *") ? null : element.parentElement);
        }
        if (element.shadowRoot) visit(element.shadowRoot);
      }
    };
    visit(document);
    return found;
  });

test("whatever the page shows of its own comes from the file of words", async (t) => {
  const server = await LiveServer.start(t);
  const context = await createContext(t);
  await context.route("**/livecode-words-en.js", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: MARK(await response.text()) });
  });
  const page = await openFrontPage(t, context, `${server.url}/`);
  await page.locator("#examples button").first().waitFor();
  assert.equal(await runText(page), "⟦Run⟧");
  assert.deepEqual(await findUnmarked(page), []);
  await page.locator(".cm-content").press("ControlOrMeta+a");
  const code = `import livecode\nlivecode.send("table", columns=["n"], rows=[[n] for n in range(300)])\ninput()`;
  await page.keyboard.insertText(code);
  await page.locator("#own button").nth(1).waitFor();
  await page.click("live-code .run");
  await page.locator("live-code .table caption").waitFor();
  assert.equal(await page.locator("live-code .table caption").textContent(), "⟦200 of 300 rows⟧");
  await page.locator("live-code .more").click();
  await page.getByRole("menu").waitFor();
  assert.deepEqual(await findUnmarked(page), []);
  await page.keyboard.press("Escape");
  await page.click("live-code .stop");
  await waitForStatus(page, "⟦stopped⟧");
  const texts = async (dialog: string) => {
    await page.click(dialog);
    await page.locator("dialog[open]").waitFor();
    await page.locator("dialog[open] :is(li, #code-link)").first().waitFor();
    // The names that the user has given, and the first line of the code, are the user's.
    const unmarked = (await findUnmarked(page)).filter((text) => !/My program|import livecode|main\.py/.test(text));
    await page.locator("dialog[open] form[method=dialog] button").first().click();
    return unmarked;
  };
  for (const dialog of ["#programs", "#share", "#sessions"]) assert.deepEqual(await texts(dialog), [], dialog);
});
