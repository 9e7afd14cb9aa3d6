/** The programs that the page keeps: nothing that was on the screen for a second is lost. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test from "node:test";
import { setTimeout } from "node:timers/promises";
import type { Page } from "playwright-core";
import { toFragment } from "../../src/page/share.js";
import {
  createContext,
  findAxeViolations,
  LiveServer,
  openFrontPage,
  output,
  setUpFrontPage as setUp,
  waitForStatus,
  writeProgram,
} from "./harness.js";

const code = (page: Page) => page.locator(".cm-content");
const own = (page: Page, name: string) =>
  page
    .getByRole("group", { name: "Your programs" })
    .getByRole("button", { name, exact: true });
const example = (page: Page, name: string) =>
  page.getByRole("group", { name: "Examples" }).getByRole("button", { name, exact: true });
const row = (page: Page, name: string) =>
  page.locator("#programs-dialog .rows li").filter({
    has: page.getByRole("button", { name: `Open ${name}`, exact: true }),
  });

/** Appends a line at the end of the program, as a user does. */
async function append(page: Page, line: string): Promise<void> {
  await code(page).press("ControlOrMeta+End");
  await page.keyboard.insertText(`\n${line}`);
  await code(page).filter({ hasText: line }).waitFor();
}

/** What the browser has stored: the texts of all programs and of all versions. */
const stored = (page: Page) =>
  page.evaluate(async () => {
    const open = indexedDB.open("livecode");
    await new Promise((resolve) => (open.onsuccess = resolve));
    const all = async (name: string) => {
      const request = open.result.transaction(name).objectStore(name).getAll();
      await new Promise((resolve) => (request.onsuccess = resolve));
      return request.result as { name: string; files: [string, string][] }[];
    };
    const [programs, versions] = [await all("programs"), await all("versions")];
    open.result.close();
    const textOf = ({ files }: { files: [string, string][] }) => files.map(([, text]) => text).join();
    return {
      programs: Object.fromEntries(programs.map((program) => [program.name, textOf(program)])),
      versions: versions.map(textOf),
    };
  });

/** Waits until the programs in the browser meet a condition. */
async function waitForStored(
  page: Page,
  isMet: (kept: Awaited<ReturnType<typeof stored>>) => boolean,
): Promise<Awaited<ReturnType<typeof stored>>> {
  let kept = await stored(page);
  for (const began = Date.now(); !isMet(kept); kept = await stored(page)) {
    if (Date.now() - began > 20_000) assert.fail(JSON.stringify(kept));
    await setTimeout(50);
  }
  return kept;
}

async function makeLink(page: Page): Promise<string> {
  await page.click("#share");
  await page.locator("#share-dialog[open]").waitFor();
  const link = await page.getByLabel("Link to the code as it is now").inputValue();
  await page.keyboard.press("Escape");
  return link;
}

test("an edited example, an edited link and another tab replace nothing", async (t) => {
  const { server, context, page } = await setUp(t);
  await writeProgram(page, "python", "print('the first of mine')");
  await own(page, "My program").waitFor();
  await example(page, "Quiz").click();
  await append(page, "# my quiz");
  // The program is on the screen for less than the time after which it is stored.
  await example(page, "Plot").click();
  await append(page, "# my plot");
  const link = await makeLink(page);
  await own(page, "New").click();
  await code(page).press("ControlOrMeta+a");
  await page.keyboard.insertText("print('the second of mine')");
  await own(page, "My program 2").waitFor();

  // Somebody else's link is opened in this tab, and edited.
  await page.goto(link.replace(/#.*/, await toFragment({ runtime: "bash", code: "echo linked" })));
  await code(page).filter({ hasText: "echo linked" }).waitFor();
  await append(page, "echo edited");
  await own(page, "Shared program").waitFor();

  // Another tab opens what was written last, and has a program of its own.
  const other = await openFrontPage(t, context, `${server.url}/`);
  await code(other).filter({ hasText: "echo edited" }).waitFor();
  await writeProgram(other, "python", "print('of the other tab')");
  const kept = await waitForStored(other, ({ programs }) =>
    Object.values(programs).some((text) => text.includes("of the other tab")),
  );
  const texts = [...Object.values(kept.programs), ...kept.versions].join("\n");
  for (const text of [
    "the first of mine",
    "# my quiz",
    "# my plot",
    "the second of mine",
    "echo edited",
    "of the other tab",
  ]) {
    assert.ok(texts.includes(text), `${text} is lost`);
  }
  assert.ok(kept.programs["My Quiz"]?.includes("# my quiz"), JSON.stringify(kept.programs));
  assert.ok(kept.programs["My Plot"]?.includes("# my plot"));
  assert.equal(kept.programs["Shared program"], "echo linked\necho edited");
  // The examples are as they were.
  await page.getByLabel("Language").selectOption("python");
  await example(page, "Quiz").click();
  await code(page).filter({ hasText: "questions" }).waitFor();
  assert.ok(!(await code(page).textContent())?.includes("# my quiz"));
});

test("two tabs show the same program, and edits at the same time are both kept", async (t) => {
  const { server, context, page } = await setUp(t);
  await writeProgram(page, "python", "# begun");
  await own(page, "My program").waitFor();
  const other = await openFrontPage(t, context, `${server.url}/`);
  await code(other).filter({ hasText: "# begun" }).waitFor();
  await append(other, "# of the other");
  await code(page).filter({ hasText: "# of the other" }).waitFor();
  await Promise.all([append(page, "# here"), append(other, "# there")]);
  const kept = await waitForStored(page, ({ programs }) => {
    const all = Object.values(programs).join();
    return all.includes("# here") && all.includes("# there");
  });
  for (const text of Object.values(kept.programs)) assert.match(text, /^# begun\n# of the other/);
});

test("what was on the screen for a second survives the death of the tab and of the server", async (t) => {
  const { server, context, page } = await setUp(t);
  await writeProgram(page, "python", "print('before the crash')");
  await setTimeout(1000); // the time that is promised
  // Nothing is promised for the last second of what is typed without a pause, but for all before.
  const typed = "# typed without any pause, in a row";
  await code(page).press("ControlOrMeta+End");
  await page.keyboard.type(`\n${typed}0123456789`, { delay: 100 });
  const session = await context.newCDPSession(page);
  void session.send("Page.crash").catch(() => {});
  await page.waitForEvent("crash");
  await server.kill();
  await server.restart();
  // A page whose server is gone lists the programs all the same.
  const alone = await openFrontPage(t, context, `${server.url}/`);
  await alone.waitForLoadState("networkidle");
  await server.kill();
  await alone.click("#programs");
  await row(alone, "My program").waitFor();
  await server.restart();
  await alone.close();
  const again = await openFrontPage(t, context, `${server.url}/`);
  await code(again).filter({ hasText: "before the crash" }).waitFor();
  assert.ok((await code(again).textContent())?.includes(typed));
  // A tab that is closed at once has stored everything, too.
  await append(again, "# at the last moment");
  const closed = again.waitForEvent("close");
  await again.close({ runBeforeUnload: true });
  await closed;
  const last = await openFrontPage(t, context, `${server.url}/`);
  await code(last).filter({ hasText: "# at the last moment" }).waitFor();
});

test("a full browser is told in words, and nothing is lost when there is space again", async (t) => {
  const { context, page } = await setUp(t);
  // Chromium's own override of the quota has no effect in a context like that of the tests, so the
  // error that it would bring is thrown here.
  await context.addInitScript(() => {
    const { put } = IDBObjectStore.prototype;
    IDBObjectStore.prototype.put = function (...args: Parameters<typeof put>) {
      if (!localStorage.getItem("full")) return put.apply(this, args);
      throw new DOMException("there is no space", "QuotaExceededError");
    };
  });
  await page.reload();
  await page.locator("live-code .run").waitFor();
  await writeProgram(page, "python", "# begun");
  await own(page, "My program").waitFor();
  await page.evaluate(() => localStorage.setItem("full", "yes"));
  await code(page).press("ControlOrMeta+End");
  await page.keyboard.insertText(`\n# ${"there is no space for this ".repeat(5000)}`);
  await page.getByText("This browser has no space left").waitFor();
  await page.reload();
  await page.locator("live-code .run").waitFor();
  await page.waitForFunction(() => {
    const live = document.querySelector("live-code") as unknown as { code?: string } | null;
    return live?.code?.includes("there is no space for this");
  });
  await page.evaluate(() => localStorage.removeItem("full"));
  await waitForStored(page, ({ programs }) =>
    Object.values(programs).some((text) => text.includes("no space for this")),
  );
  await page.getByText("This browser has no space left").waitFor({ state: "hidden" });
});

test("what a full browser is advised to do can be done", async (t) => {
  const { context, page } = await setUp(t);
  await context.addInitScript(() => {
    const { put } = IDBObjectStore.prototype;
    IDBObjectStore.prototype.put = function (...args: Parameters<typeof put>) {
      if (!localStorage.getItem("full")) return put.apply(this, args);
      throw new DOMException("there is no space", "QuotaExceededError");
    };
  });
  await page.reload();
  await page.locator("live-code .run").waitFor();
  await writeProgram(page, "python", "# the old one");
  await own(page, "My program").waitFor();
  await own(page, "New").click();
  await code(page).press("ControlOrMeta+a");
  await page.keyboard.insertText("# begun");
  await own(page, "My program 2").waitFor();
  await page.evaluate(() => localStorage.setItem("full", "yes"));
  await append(page, "# not stored");
  await page.getByText("This browser has no space left").waitFor();

  await page.click("#programs");
  const menu = async (name: string, action: string) => {
    const summary = row(page, name).locator("summary").first();
    if (!(await row(page, name).locator("details[open]").count())) await summary.click();
    await page.getByRole("button", { name: `${action} ${name}`, exact: true }).click();
  };
  await row(page, "My program 2").waitFor();
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    menu("My program 2", "Download"),
  ]);
  assert.equal(await readFile(await download.path(), "utf8"), "# begun\n# not stored");
  await menu("My program 2", "Duplicate");
  await page.getByText("There is no space left for that in this browser.").waitFor();
  await menu("My program", "Delete");
  await page.getByText("There is no space left to keep “My program” for Undo.").waitFor();
  await page.getByRole("button", { name: "Delete My program for good" }).click();
  await page.getByText("“My program” is deleted for good.").waitFor();
  assert.equal(await row(page, "My program").count(), 0);
  await page.evaluate(() => localStorage.removeItem("full"));
  const kept = await waitForStored(page, ({ programs }) =>
    Object.values(programs).some((text) => text.includes("# not stored")),
  );
  assert.deepEqual(kept.programs, { "My program 2": "# begun\n# not stored" });
});

test("programs run where the browser keeps nothing, or does not answer", async (t) => {
  const server = await LiveServer.start(t);
  for (const isSilent of [false, true]) {
    const context = await createContext(t);
    await context.addInitScript((isSilent) => {
      class Refused {
        constructor() {
          throw new DOMException("the browser keeps nothing", "SecurityError");
        }
      }
      Object.defineProperty(window, "BroadcastChannel", { value: Refused });
      IDBFactory.prototype.open = () => {
        if (!isSilent) throw new DOMException("the browser keeps nothing", "SecurityError");
        return new EventTarget() as IDBOpenDBRequest;
      };
    }, isSilent);
    const page = await openFrontPage(t, context, `${server.url}/`);
    await page.getByText("This browser keeps nothing for this page").waitFor();
    await writeProgram(page, "python", "print(6 * 7)");
    await page.click("live-code .run");
    await waitForStatus(page, "finished");
    assert.equal(await output(page).textContent(), "42\n");
    // The text that could not be stored is still there after a reload.
    await page.reload();
    await code(page).filter({ hasText: "print(6 * 7)" }).waitFor();
  }
});

test("what an earlier version of the page has kept becomes programs", async (t) => {
  const { page } = await setUp(t);
  await page.evaluate(() => {
    localStorage.setItem("livecode-draft:python", "print('an old draft')");
    localStorage.setItem("livecode-draft:bash", "echo old");
    sessionStorage.clear();
  });
  await page.goto("about:blank");
  await page.goBack();
  await page.locator("live-code .run").waitFor();
  await page.getByLabel("Language").selectOption("bash");
  await own(page, "My Bash").click();
  await code(page).filter({ hasText: "echo old" }).waitFor();
  await page.getByLabel("Language").selectOption("python");
  await code(page).filter({ hasText: "an old draft" }).waitFor();
  assert.deepEqual(
    await page.evaluate(() => Object.keys(localStorage).filter((key) => key.includes("draft"))),
    [],
  );

  // A tab that has the earlier version still stores two drafts again, one of them with other text.
  await page.evaluate(() => {
    localStorage.setItem("livecode-draft:python", "print('written in the old tab')");
    localStorage.setItem("livecode-draft:bash", "echo old");
  });
  await page.reload();
  await page.locator("live-code .run").waitFor();
  const { programs } = await stored(page);
  assert.deepEqual(programs, {
    "My Bash": "echo old",
    "My Python": "print('an old draft')",
    "My Python 2": "print('written in the old tab')",
  });
});

test("programs are renamed, copied, deleted and brought back", async (t) => {
  const { page } = await setUp(t);
  await writeProgram(page, "python", "print('one')");
  await own(page, "My program").waitFor();
  await page.click("#programs");
  const menu = async (name: string, action: string) => {
    await row(page, name).locator("summary").first().click();
    await page.getByRole("button", { name: `${action} ${name}`, exact: true }).click();
  };
  await menu("My program", "Rename");
  await page.getByLabel("New name of My program").fill("Numbers");
  await page.keyboard.press("Enter");
  await row(page, "Numbers").waitFor();
  await menu("Numbers", "Duplicate");
  await row(page, "Numbers 2").waitFor();
  await menu("Numbers 2", "Rename");
  await page.getByRole("button", { name: "Cancel", exact: true }).click();
  await menu("Numbers 2", "Rename");
  await page.getByLabel("New name of Numbers 2").fill("Numbers");
  await page.keyboard.press("Enter");
  await page.getByText("Another program is “Numbers”.").waitFor();
  await page.keyboard.press("Escape");
  await page.click("#programs");
  assert.deepEqual(await findAxeViolations(page), []);
  await menu("Numbers 2", "Delete");
  await page.getByText("“Numbers 2” is deleted.").waitFor();
  assert.equal(await row(page, "Numbers 2").count(), 0);
  await page.getByRole("button", { name: "Undo" }).click();
  await row(page, "Numbers 2").waitFor();
  await menu("Numbers 2", "Delete");
  await page.keyboard.press("Escape");

  // The program that is shown has its new name, and goes on being kept under it.
  await own(page, "Numbers").waitFor();
  await append(page, "# more");
  const kept = await waitForStored(page, ({ programs }) => !!programs.Numbers?.includes("# more"));
  assert.deepEqual(Object.keys(kept.programs).sort(), ["Numbers", "Numbers 2"]);
});

test("each program that was run is a version, and only once", async (t) => {
  const { page } = await setUp(t);
  await writeProgram(page, "python", "print(1)");
  await own(page, "My program").waitFor();
  for (let count = 0; count < 2; count++) {
    await page.click("live-code .run");
    await waitForStatus(page, "finished");
  }
  await waitForStored(page, ({ versions }) => versions.length === 1);
  await append(page, "# 2");
  await page.click("live-code .run");
  await waitForStored(page, ({ versions }) => versions.length === 2);
  // Changes after a reload replace what was run, but not its version.
  await page.reload();
  await append(page, "# 3");
  const kept = await waitForStored(page, ({ programs }) => !!programs["My program"]?.includes("# 3"));
  assert.deepEqual(kept.versions, ["print(1)", "print(1)\n# 2"]);
});

test("an earlier version is found and restored", async (t) => {
  const { page } = await setUp(t);
  await writeProgram(page, "python", "print('the good version of this program')");
  await own(page, "My program").waitFor();
  await code(page).press("ControlOrMeta+a");
  await page.keyboard.press("Delete");
  await waitForStored(page, ({ versions }) => versions.length > 0);
  await page.keyboard.insertText("print('worse')");
  await page.click("#programs");
  await row(page, "My program").locator("summary").click();
  await page.getByRole("button", { name: "Versions My program" }).click();
  await page.locator("#programs-dialog .preview summary").last().click();
  await page.locator("#programs-dialog pre").filter({ hasText: "the good version" }).waitFor();
  await page.getByRole("button", { name: /^Restore the version/ }).last().click();
  await code(page).filter({ hasText: "the good version" }).waitFor();
  const kept = await waitForStored(page, ({ programs }) => !!programs["My program"]?.includes("good"));
  assert.ok(kept.versions.some((text) => text.includes("worse")), JSON.stringify(kept));
});

test("a program that is opened again is as it was typed, and the shown one stays", async (t) => {
  const { page } = await setUp(t);
  await writeProgram(page, "python", "print('shown')");
  await own(page, "My program").waitFor();
  await page.click("live-code .run");
  await waitForStatus(page, "finished");
  await append(page, "# just typed");
  await own(page, "My program").click();
  await append(page, "# more");
  assert.equal(await output(page).textContent(), "shown\n");

  // A file is added to it, and its session is still shown.
  await page.click("#programs");
  await row(page, "My program").locator("summary").click();
  await page.getByRole("button", { name: "Files My program" }).click();
  await page.getByLabel("Name of a new file").fill("data.txt");
  await page.keyboard.press("Enter");
  await page.getByText("“data.txt” is added.").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("tab", { name: "data.txt" }).waitFor();
  assert.equal(await output(page).textContent(), "shown\n");

  // Another program is shown, and this one again, before the last edit is stored.
  await append(page, "# at last");
  await own(page, "New").click();
  await own(page, "My program").click();
  await code(page).filter({ hasText: "# at last" }).waitFor();
  await append(page, "# and on");
  const { programs } = await waitForStored(page, (kept) =>
    Object.values(kept.programs).some((text) => text.includes("# and on")),
  );
  const text = "print('shown')\n# just typed\n# more\n# at last\n# and on,";
  assert.deepEqual(programs, { "My program": text });
});

test("a file of a program may have any name", async (t) => {
  const { page } = await setUp(t);
  await writeProgram(page, "python", "print(open('code').read())");
  await own(page, "My program").waitFor();
  await page.click("#programs");
  await row(page, "My program").locator("summary").click();
  await page.getByRole("button", { name: "Files My program" }).click();
  await page.getByLabel("Name of a new file").fill("code");
  await page.keyboard.press("Enter");
  await page.getByText("“code” is added.").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("tab", { name: "main.py" }).press("End");
  assert.equal(await page.getByRole("tab", { name: "code" }).getAttribute("aria-selected"), "true");
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowRight");
  await code(page).press("ControlOrMeta+a");
  await page.keyboard.insertText("of the second file");
  const names = await page.evaluate(() => {
    const live = document.querySelector("live-code") as unknown as { files: Map<string, string> };
    return [...live.files.keys()];
  });
  assert.deepEqual(names, ["main.py", "code"]);
  await page.click("live-code .run");
  await waitForStatus(page, "finished");
  assert.equal(await output(page).textContent(), "of the second file\n");
});

test("a program has several files, is downloaded as a ZIP file and comes back", async (t) => {
  const { server, page } = await setUp(t);
  await writeProgram(page, "python", "import other\nprint(other.n)");
  await own(page, "My program").waitFor();
  await page.click("#programs");
  await row(page, "My program").locator("summary").click();
  await page.getByRole("button", { name: "Files My program" }).click();
  await page.getByLabel("Name of a new file").fill("../other.py");
  await page.keyboard.press("Enter");
  await page.getByText("cannot be the name of a file").waitFor();
  await page.getByLabel("Name of a new file").fill("other.py");
  await page.keyboard.press("Enter");
  await page.getByText("“other.py” is added.").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("tab", { name: "other.py" }).click();
  await code(page).press("ControlOrMeta+a");
  await page.keyboard.insertText("n = 42");
  await page.click("live-code .run");
  await waitForStatus(page, "finished");
  assert.equal(await output(page).textContent(), "42\n");
  const link = await makeLink(page);

  await page.click("#programs");
  await row(page, "My program").waitFor();
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Download all" }).click(),
  ]);
  const archive = await readFile(await download.path());

  // Another browser gets the programs from the file, and the same by the link.
  const other = await openFrontPage(t, await createContext(t), `${server.url}/`);
  await other.click("#programs");
  await other.getByText("You have no programs yet").waitFor();
  await other.locator("#programs-dialog input[type=file]").setInputFiles([
    { name: "programs.zip", mimeType: "application/zip", buffer: archive },
    { name: "greet.sh", mimeType: "text/plain", buffer: Buffer.from("echo hello") },
  ]);
  await row(other, "greet").waitFor();
  await other.locator("#programs-dialog input[type=file]").setInputFiles([
    { name: "photo.py", mimeType: "text/plain", buffer: Buffer.from([0xff, 0xfe, 0xfd]) },
  ]);
  await other.getByText("photo.py is not text in UTF-8.").waitFor();
  await row(other, "My program").getByRole("button", { name: "Open My program" }).click();
  await other.getByRole("tab", { name: "other.py" }).waitFor();
  await other.click("live-code .run");
  await waitForStatus(other, "finished");
  assert.equal(await output(other).textContent(), "42\n");
  const third = await openFrontPage(t, await createContext(t), link);
  await third.getByRole("tab", { name: "other.py" }).waitFor();
  await third.click("live-code .run");
  await waitForStatus(third, "finished");
  assert.equal(await output(third).textContent(), "42\n");
});
