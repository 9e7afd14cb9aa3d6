/** The server's front page. */

import assert from "node:assert/strict";
import test from "node:test";
import type { Page } from "playwright-core";
import {
  findAxeViolations,
  setUpFrontPage as setUp,
  waitForColour,
  openFrontPage,
  output,
  createContext,
  waitForStatus,
  writeProgram,
} from "./harness.js";

const example = (page: Page, title: string) =>
  page.getByRole("group", { name: "Examples" }).getByRole("button", { name: title, exact: true });

test("Python is the default, and runs", async (t) => {
  const { page } = await setUp(t);
  assert.equal(await page.getByLabel("Language").inputValue(), "python");
  await writeProgram(page, "python", 'print("hello, world!")');
  const times: number[] = [];
  for (let n = 0; n < 5; n++) {
    // The time is measured in the page, so that it does not include the browser's remote control.
    times.push(
      await page.evaluate(async () => {
        const root = document.querySelector("live-code")?.shadowRoot as ShadowRoot;
        const shown = root.querySelector(".output") as HTMLElement;
        const began = performance.now();
        (root.querySelector(".run") as HTMLElement).click();
        await new Promise<void>((resolve) => {
          const observer = new MutationObserver(() => {
            if (!shown.textContent?.includes("hello")) return;
            observer.disconnect();
            resolve();
          });
          observer.observe(shown, { childList: true, subtree: true });
        });
        return performance.now() - began;
      }),
    );
    await waitForStatus(page, "finished");
  }
  t.diagnostic(
    `from click to first output of hello world: ${times.map((time) => Math.round(time)).join(", ")} ms`,
  );
  assert.equal(await output(page).textContent(), "hello, world!\n");
});

test("a quiz can be played with the keyboard only", async (t) => {
  const { page } = await setUp(t);
  await example(page, "Quiz").focus();
  await page.keyboard.press("Enter");
  await page.locator(".cm-content").filter({ hasText: "questions" }).waitFor();
  await page.keyboard.press("Control+Enter"); // The shortcut works anywhere on the page.
  for (const [question, answer] of [
    ["times 8?", "56"],
    ["sun?", "venus"],
    ["spider?", "8"],
  ] as const) {
    await output(page).filter({ hasText: question }).waitFor();
    if (question === "times 8?") {
      await page.locator(".cm-content").focus();
      await page.keyboard.press("Escape");
      // Tab moves from the editor over canvas and output to the input.
      while (
        !(await page
          .getByLabel("Input for the program")
          .evaluate((input) => input.matches(":focus")))
      )
        await page.keyboard.press("Tab");
    }
    await page.keyboard.type(answer);
    await page.keyboard.press("Enter");
  }
  await waitForStatus(page, "finished");
  await output(page).filter({ hasText: "You have 2 of 3 points." }).waitFor();
  assert.equal(await page.locator("live-code .output .green").first().textContent(), "Right!");
  assert.equal(
    await page.evaluate(
      () => document.querySelector("live-code")?.shadowRoot?.activeElement?.className,
    ),
    "run",
  );
});

test("a program draws, and gets mouse events", async (t) => {
  const { page } = await setUp(t);
  const code =
    'size(200, 100)\nbackground("rgb(0,0,255)")\n@on_click\ndef click(x, y):\n    background("rgb(0,255,0)")\n    stop()\nrun()';
  await writeProgram(page, "python-canvas", code);
  await page.click("live-code .run");
  await waitForColour(page, [150, 50], [0, 0, 255, 255]);
  await page.locator("live-code canvas").click({ position: { x: 50, y: 50 }, force: true });
  await waitForColour(page, [150, 50], [0, 255, 0, 255]);
  await waitForStatus(page, "finished");
});

test("every example works", async (t) => {
  const { page } = await setUp(t);
  const drawn = () =>
    page.waitForFunction(() => {
      const canvases =
        document.querySelector("live-code")?.shadowRoot?.querySelectorAll("canvas") ?? [];
      const colours = (canvas: HTMLCanvasElement) => {
        const data =
          canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
        return new Set(new Uint32Array(Uint8ClampedArray.from(data).buffer)).size;
      };
      return [...canvases].some((canvas) => colours(canvas) > 3);
    });
  const stopped = async () => {
    await drawn();
    await page.click("live-code .stop");
    await waitForStatus(page, "stopped");
  };
  const finished = () => waitForStatus(page, "finished");
  const expected: [string, string, () => Promise<unknown>][] = [
    ["python", "Turtle", async () => [await finished(), await drawn()]],
    ["python", "Animation", stopped],
    ["python", "Mouse game", stopped],
    [
      "python",
      "Music",
      async () => [await finished(), await output(page).filter({ hasText: "of music" }).waitFor()],
    ],
    [
      "python",
      "Plot",
      async () => [await finished(), await page.locator("live-code .output img").waitFor()],
    ],
    [
      "python",
      "Table",
      async () => [
        await finished(),
        await page.locator("live-code td").filter({ hasText: "Jupiter" }).waitFor(),
      ],
    ],
    [
      "javascript",
      "Hello",
      async () => [await finished(), await output(page).filter({ hasText: "Hello 3" }).waitFor()],
    ],
    ["javascript", "Animation", stopped],
    ["javascript", "Paint", stopped],
    [
      "javascript",
      "Music",
      async () => [await finished(), await output(page).filter({ hasText: "5 bars" }).waitFor()],
    ],
  ];
  for (const [runtime, title, done] of expected) {
    await page.getByLabel("Language").selectOption(runtime);
    await example(page, title).click();
    assert.equal(await example(page, title).getAttribute("aria-pressed"), "true");
    await page.click("live-code .run");
    await done();
    assert.equal(
      await page
        .locator("live-code .stderr")
        .allTextContents()
        .then((all) => all.join("")),
      "",
      title,
    );
  }
});

test("notes are played with their pitch and at their time", async (t) => {
  const { page } = await setUp(t);
  await page.evaluate(() => {
    const notes: [number, number][] = [];
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function (this: OscillatorNode, when = 0) {
      notes.push([Math.round(this.frequency.value), when]);
      start.call(this, when);
    };
    Object.assign(window, { notes });
  });
  const code = `
import livecode
livecode.send("play", note="A4", duration=0.1)
livecode.send("play", note=["C4", "E4"], at=2)
livecode.send("play", note="nothing")
livecode.send("play", note="A5", at="soon", volume=9, wave="noise", duration=-1)
print("played")`;
  await writeProgram(page, "python", code);
  await page.click("live-code .run");
  await waitForStatus(page, "finished");
  const notes = await page.evaluate(
    () => (window as unknown as { notes: [number, number][] }).notes,
  );
  assert.deepEqual(
    notes.map(([hertz]) => hertz),
    [440, 262, 330, 880],
  );
  const [first, chord, same] = notes.map(([, when]) => when) as [number, number, number];
  assert.equal(chord, same);
  assert.ok(Math.abs(chord - first - 2) < 1e-6, `${first} ${chord}`);
});

test("a link contains the code, and runs nothing by itself", async (t) => {
  const { server, context, page } = await setUp(t);
  const code = `# ${"ü".repeat(2000)}\nprint("shared")`;
  await writeProgram(page, "python", code);
  await page.click("#share");
  await page.locator("#share-dialog[open]").waitFor();
  const link = await page.getByLabel("Link to the code as it is now").inputValue();
  assert.ok(link.startsWith(`${server.url}/#`) && link.length < 200, link);
  assert.equal(
    await page.getByRole("button", { name: "Link to watch" }).isVisible(),
    false,
    "there is no session to watch",
  );
  await page.getByRole("button", { name: "Copy" }).first().click();
  await page.getByText("Copied.").waitFor();
  await page.keyboard.press("Escape");

  const other = await openFrontPage(t, await createContext(t), link);
  // The editor draws only what is near the part that is seen.
  await other.waitForFunction(() => {
    const live = document.querySelector("live-code") as unknown as { code?: string } | null;
    return live?.code?.endsWith('print("shared")');
  });
  assert.deepEqual(await server.sessions(), []);
  assert.equal(other.url(), link, "the address can be bookmarked");
  await other.click("live-code .run");
  await waitForStatus(other, "finished");
  assert.equal(await output(other).textContent(), "shared\n");
  await other.reload();
  await waitForStatus(other, "finished");
  assert.equal(other.url(), link);
  await other.locator(".cm-content").press("ControlOrMeta+End");
  await other.keyboard.type("# mine");
  await other.getByRole("button", { name: "Shared program", exact: true }).waitFor();
  assert.equal(new URL(other.url()).hash, "", "what was edited is not what the link has");

  const broken = await openFrontPage(t, context, `${server.url}/#runtime=python&code=abc`);
  await broken.getByText("This link is broken").waitFor();
});

test("a reload restores the code and the session", async (t) => {
  const { page } = await setUp(t);
  await writeProgram(
    page,
    "python",
    "import time\nfor n in range(40):\n    print(n)\n    time.sleep(0.1)",
  );
  await page.click("live-code .run");
  await output(page).filter({ hasText: "5\n" }).waitFor();
  await page.reload();
  await waitForStatus(page, "finished");
  assert.equal(
    await output(page).textContent(),
    Array.from({ length: 40 }, (_, n) => `${n}\n`).join(""),
  );
  await page.locator(".cm-content").filter({ hasText: "range(40)" }).waitFor();
  await page.reload();
  await waitForStatus(page, "finished");
});

test("another user can watch a session, but not send anything to it", async (t) => {
  const { page } = await setUp(t);
  await writeProgram(page, "python", 'print("hello", input("name? "))');
  await page.click("live-code .run");
  await output(page).filter({ hasText: "name?" }).waitFor();
  await page.click("#share");
  await page.getByRole("button", { name: "Link to watch" }).click();
  const link = await page.getByLabel("Link to watch the program").inputValue();
  await page.keyboard.press("Escape");
  const watcher = await openFrontPage(t, await createContext(t), link);
  await output(watcher).filter({ hasText: "name?" }).waitFor();
  await waitForStatus(watcher, "waiting for input, you are watching");
  assert.equal(await watcher.getByLabel("Input for the program").isVisible(), false);
  assert.equal(await watcher.locator("live-code .stop").isDisabled(), true);
  await watcher.locator(".cm-content").filter({ hasText: "hello" }).waitFor();
  await page.getByLabel("Input for the program").fill("Ada");
  await page.keyboard.press("Enter");
  await waitForStatus(watcher, "finished");
  // The typed input is part of the record.
  assert.equal(await output(watcher).textContent(), "name? Ada\nhello Ada\n");
});

test("every session of the list can be opened", async (t) => {
  const { server, page } = await setUp(t);
  await writeProgram(page, "python", 'print("the first")\nprint(input())');
  await page.click("live-code .run");
  await output(page).filter({ hasText: "the first" }).waitFor();
  // This session is created without the page.
  const made = await fetch(`${server.url}/sessions`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ runtime: "bash", code: "echo from elsewhere" }),
  });
  assert.equal(made.status, 201);
  await page.click("#sessions");
  const rows = page.locator("#session-list li");
  await rows.filter({ hasText: "Bash" }).getByRole("button", { name: "Open" }).click();
  await output(page).filter({ hasText: "from elsewhere" }).waitFor();
  await waitForStatus(page, "finished");

  // The first session is still running. The page shows it together with its program.
  await page.click("#sessions");
  await rows.filter({ hasText: "running" }).getByRole("button", { name: "Open" }).click();
  await output(page).filter({ hasText: "the first" }).waitFor();
  await page.locator(".cm-content").filter({ hasText: "the first" }).waitFor();
  await page.getByLabel("Input for the program").fill("and last");
  await page.keyboard.press("Enter");
  await waitForStatus(page, "finished");

  await page.click("#sessions");
  await rows.nth(1).waitFor();
  assert.equal(await rows.count(), 2);
  for (let left = 1; left >= 0; left--) {
    await rows.first().getByRole("button", { name: "Forget" }).click();
    await page.waitForFunction(
      (left) => document.querySelectorAll("#session-list li").length === left,
      left,
    );
    assert.match(
      await page.evaluate(() => document.activeElement?.textContent ?? ""),
      left ? /Forget/ : /Close/,
    );
  }
  await page.getByText("You have no sessions yet").waitFor();
  assert.deepEqual(await server.sessions(), []);
});

test("another run stops the program before, and the user's draft is kept", async (t) => {
  const { server, page } = await setUp(t);
  await writeProgram(page, "python", "print('mine')\ninput()");
  await page.click("live-code .run");
  await output(page).filter({ hasText: "mine" }).waitFor();
  await page.keyboard.press("Control+Enter");
  await page.locator(".cm-content").focus();
  await page.keyboard.press("Control+Enter");
  await page.waitForFunction(async () => {
    const sessions = (await (await fetch("/sessions")).json()) as { state: string }[];
    return sessions.length >= 2 && sessions.filter(({ state }) => state !== "ended").length === 1;
  });
  await page.getByLabel("Language").selectOption("bash");
  await page.locator(".cm-content").filter({ hasText: "echo" }).waitFor();
  await page.getByLabel("Language").selectOption("python");
  await page.locator(".cm-content").filter({ hasText: "mine" }).waitFor();
  await example(page, "Quiz").click();
  await page.getByRole("button", { name: "My program", exact: true }).click();
  await page.locator(".cm-content").filter({ hasText: "mine" }).waitFor();
  assert.ok((await server.sessions()).length >= 2);
});

test("a program's messages can execute nothing in the page and load nothing", async (t) => {
  const { page } = await setUp(t);
  const code = `
import base64, livecode
evil = "<img src=x onerror=hacked()><script>hacked()</script>"
svg = f"<svg xmlns='http://www.w3.org/2000/svg' onload='hacked()'><script>hacked()</script><image href='http://127.0.0.1:9/x'/></svg>"
print(evil)
livecode.send("image", mimetype="image/svg+xml", data=base64.b64encode(svg.encode()).decode())
livecode.send("image", mimetype="text/html", data=base64.b64encode(evil.encode()).decode())
livecode.send("image", mimetype="image/png\\" onerror=\\"hacked()", data="x")
livecode.send("table", columns=[evil], rows=[[evil], evil, None, {"a": 1}], index=[evil])
livecode.send("draw", shape="image", args=[0, 0], src="http://127.0.0.1:9/x", image="y")
livecode.send("draw", shape="constructor", args=[evil], style={"fill": "url(http://127.0.0.1:9/x)"})
livecode.send("draw", shape="__proto__", args="x", transform=["x"], layer="constructor")
livecode.send("draw", shape="text", args=["x", 0, 0], style={"font": "url(http://127.0.0.1:9/x)", "size": 1e9})
livecode.send("draw", shape="size", args=[1e9, -5])
livecode.send("play", note=[["A4"], {}, 1e300], at=1e300, duration="x", volume={})
livecode.send("location", href="http://127.0.0.1:9/")
print("end")`;
  await page.evaluate(() =>
    Object.assign(window, {
      hacks: 0,
      hacked: () => (window as unknown as { hacks: number }).hacks++,
    }),
  );
  const before = page.url();
  await writeProgram(page, "python", code);
  await page.click("live-code .run");
  await waitForStatus(page, "finished");
  await output(page).filter({ hasText: "end" }).waitFor();
  await page.waitForFunction(() =>
    [...(document.querySelector("live-code")?.shadowRoot?.querySelectorAll("img") ?? [])].every(
      (image) => image.complete,
    ),
  );
  assert.equal(page.url(), before);
  assert.equal(await page.evaluate(() => (window as unknown as { hacks: number }).hacks), 0);
  assert.match((await output(page).textContent()) ?? "", /^<img src=x onerror=hacked\(\)>/);
  assert.equal(
    await page
      .locator(
        "live-code .output script, live-code .output [onerror], live-code .output img:not([src^='data:image/'])",
      )
      .count(),
    0,
  );
});

test("axe finds no violation, in both colour schemes", async (t) => {
  const { page } = await setUp(t);
  await writeProgram(
    page,
    "python",
    "# words\nprint('out \\x1b[31mred\\x1b[0m')\nimport sys; print('err', file=sys.stderr)\ninput('more? ')",
  );
  assert.deepEqual(await findAxeViolations(page), []);
  await page.click("live-code .run");
  await output(page).filter({ hasText: "more?" }).waitFor();
  assert.deepEqual(await findAxeViolations(page), []);
  for (const dialog of ["share", "sessions"]) {
    await page.click(`#${dialog}`);
    if (dialog === "sessions") await page.locator("#session-list li").waitFor();
    assert.deepEqual(await findAxeViolations(page), [], dialog);
    await page.getByRole("button", { name: "Close" }).click();
  }
});

test("everything fits on a small phone, and touch acts as the mouse", async (t) => {
  const { page } = await setUp(t, {
    viewport: { width: 320, height: 640 },
    hasTouch: true,
    isMobile: true,
  });
  const code =
    'size(600, 300)\nbackground("rgb(0,0,255)")\n@on_mouse_down\ndef down(x, y):\n    print(x, y)\n    stop()\nrun()';
  await writeProgram(page, "python-canvas", code);
  await page.locator("live-code .run").tap();
  await waitForColour(page, [150, 50], [0, 0, 255, 255]);
  const canvas = page.locator("live-code canvas").first();
  const place = await canvas.boundingBox();
  assert.ok(place && place.width < 320);
  await canvas.tap({ position: { x: place.width / 2, y: place.height / 2 }, force: true });
  await waitForStatus(page, "finished");
  const [x, y] = ((await output(page).textContent()) ?? "").split(" ").map(Number) as [
    number,
    number,
  ];
  assert.ok(Math.abs(x - 300) < 4 && Math.abs(y - 150) < 4, `${x} ${y}`);
  for (const element of ["html", "live-code"]) {
    const [needed, there] = await page
      .locator(element)
      .evaluate((one) => [one.scrollWidth, one.clientWidth] as const);
    assert.ok(needed <= there, `${element} needs ${needed} of ${there} pixels`);
  }
});

test("a runtime that is not installed shows what to install", async (t) => {
  const { page } = await setUp(t);
  await page.route("**/runtimes", async (route) => {
    const answer = await route.fetch();
    const runtimes = ((await answer.json()) as { name: string }[]).map((runtime) =>
      runtime.name === "rust"
        ? { ...runtime, available: false, needs: "rustc is missing: apt-get install rustc" }
        : runtime,
    );
    await route.fulfill({ response: answer, json: runtimes });
  });
  await page.reload();
  await page.locator("live-code .run").waitFor();
  await page.getByLabel("Language").selectOption("rust");
  await page
    .getByText("This machine cannot run Rust yet: rustc is missing: apt-get install rustc")
    .waitFor();
  await page.getByLabel("Language").selectOption("python");
  assert.equal(await page.locator("#notice").textContent(), "");
});
