/** Programs in frames of pages that let no script in: `/embed`. */

import assert from "node:assert/strict";
import test from "node:test";
import type { BrowserContext, Page } from "playwright-core";
import {
  createContext,
  findAxeViolations,
  LiveServer,
  open,
  Pages,
  setUp,
  startTlsProxy,
  writeProgram,
} from "./harness.js";

/** A frame as a course site would contain it. */
const frameOf = (server: string, query: string, fragment: string, attributes = `sandbox="allow-scripts"`) =>
  `<iframe title="A program" width="600" height="400" ${attributes} src="${server}/embed${query}#${fragment}"></iframe>`;

const textOf = (code: string) => `text=${encodeURIComponent(code)}`;

const frameIn = (page: Page) => page.frameLocator("iframe");
const statusIn = (page: Page, text: string) => frameIn(page).locator(".status").filter({ hasText: text });

/** Runs the program in the frame of a page, and returns its output. */
async function runIn(page: Page, end = "finished"): Promise<string> {
  const frame = frameIn(page);
  await frame.locator(".run").click();
  await statusIn(page, end).waitFor();
  return (await frame.locator(".output").textContent()) ?? "";
}

/** Opens a page of another origin with a frame. Violations of its policy are collected. */
async function openPage(context: BrowserContext, url: string) {
  const page = await context.newPage();
  const refused: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error") refused.push(message.text());
  });
  await page.goto(url);
  return { page, refused };
}

test("a sandboxed frame on another origin runs a program once it is told to", async (t) => {
  const { server, pages, context } = await setUp(t);
  const code = `name = input("name? ")\nprint("hello", name + "!")`;
  const page = await open(t, context, pages.add(frameOf(server.url, "?runtime=python", textOf(code))));
  const frame = frameIn(page);
  await frame.locator(".cm-content").filter({ hasText: "hello" }).waitFor();
  assert.deepEqual(await server.sessions(), [], "nothing runs by itself");
  await frame.locator(".run").click();
  const input = frame.getByLabel("Input for the program");
  await input.fill("Ada");
  await input.press("Enter");
  await statusIn(page, "finished").waitFor();
  assert.equal(await frame.locator(".output").textContent(), "name? Ada\nhello Ada!\n");
  await frame.locator(".run").click();
  await input.fill("Bob");
  await frame.getByRole("button", { name: "Send" }).click();
  await statusIn(page, "finished").waitFor();
  assert.equal(await frame.locator(".output").textContent(), "name? Bob\nhello Bob!\n");
});

test("the HTML that Share has shows the program in a page of another site", async (t) => {
  const { server, pages, context } = await setUp(t);
  const own = await open(t, context, `${server.url}/`);
  await own.locator("live-code .cm-content").waitFor();
  await writeProgram(own, "javascript", `console.log('"<b> & </b>"', "${"x".repeat(9)}")`);
  await own.click("#share");
  assert.deepEqual(await findAxeViolations(own), []);
  const html = await own.getByLabel("HTML for a page of another site").inputValue();
  assert.match(html, /^<iframe title="A program to run" [^<>]*><\/iframe>$/);
  const page = await open(t, context, pages.add(html));
  assert.equal(await runIn(page), `"<b> & </b>" ${"x".repeat(9)}\n`);
});

test("a frame shares nothing with the server's own page", async (t) => {
  const server = await LiveServer.startForGuests(t, "live.test");
  const [pages, context] = await Promise.all([Pages.start(t), createContext(t)]);
  const address = `http://live.test:${server.port}`;
  // The visitor has a cookie, programs and a session on the server's own page.
  const own = await open(t, context, `${address}/`);
  await own.locator("live-code .cm-content").waitFor();
  await writeProgram(own, "python", "print(1)");
  await own.locator("live-code .run").click();
  await own.locator("live-code[data-state=ended]").waitFor();
  await own.evaluate(() => localStorage.setItem("secret", "mine"));
  const [cookie] = await context.cookies();
  assert.equal(cookie?.name, "livecode-guest");
  const [session] = await server.sessions();
  for (const url of [
    pages.add(frameOf(address, "", textOf("print(6 * 7)"), "")),
    pages.add(frameOf(address, "", textOf("print(6 * 7)"))),
    // A browser that shows the frame's address itself.
    `${address}/embed#${textOf("print(6 * 7)")}`,
  ]) {
    const page = await open(t, context, url);
    const sent: Record<string, string>[] = [];
    page.on("request", (request) => {
      if (!/\/sessions/.test(request.url())) return;
      // The headers of a request that is still under way when its page is closed are never known.
      void request.allHeaders().then((all) => sent.push(all)).catch(() => {});
    });
    const frame = page.frames().at(-1) as ReturnType<Page["mainFrame"]>;
    await frame.locator(".run").click();
    await frame.locator(".status").filter({ hasText: "finished" }).waitFor();
    assert.equal(await frame.locator(".output").textContent(), "42\n");
    const reached = await frame.evaluate(async (id) => {
      const attempt = (read: () => unknown) => {
        try {
          return read();
        } catch (error) {
          return (error as Error).name;
        }
      };
      const status = async (path: string) => (await fetch(path)).status;
      return {
        origin,
        storage: attempt(() => localStorage.getItem("secret")),
        tab: attempt(() => sessionStorage.length),
        cookie: attempt(() => document.cookie),
        database: attempt(() => indexedDB.open("livecode") && "opened"),
        session: await status(`/sessions/${id}`),
      };
    }, session?.id);
    assert.deepEqual(reached, {
      origin: "null",
      storage: "SecurityError",
      tab: "SecurityError",
      cookie: "SecurityError",
      database: "SecurityError",
      session: 404,
    });
    assert.ok(sent.length > 0);
    for (const headers of sent) assert.equal(headers.cookie, undefined);
    await page.close();
  }
  assert.deepEqual(await context.cookies(), [cookie], "no cookie was set");
});

test("a frame works in a page whose policy allows nothing but the documented line", async (t) => {
  const { server, pages, context } = await setUp(t);
  const frame = frameOf(server.url, "?runtime=bash", textOf("echo $((6 * 7))"));
  const withPolicy = (policy: string) => pages.add(frame, "localhost", { "Content-Security-Policy": policy });
  const { page } = await openPage(context, withPolicy(`default-src 'none'; frame-src ${server.url}`));
  assert.equal(await runIn(page), "42\n");
  const strict = await openPage(context, withPolicy("default-src 'none'"));
  assert.ok(strict.refused.some((text) => text.includes("frame-src")), strict.refused.join());
  // A page that is isolated from other origins.
  const isolated = await openPage(
    context,
    pages.add(frame, "localhost", {
      "Cross-Origin-Opener-Policy": "same-origin",
      "Cross-Origin-Embedder-Policy": "require-corp",
    }),
  );
  assert.equal(await isolated.page.evaluate(() => crossOriginIsolated), true);
  assert.equal(await runIn(isolated.page), "42\n");
  // A page that is in a sandbox itself.
  const outer = pages.add(frame);
  const nested = await open(t, context, pages.add(`<iframe sandbox="allow-scripts" width="700" height="500" src="${outer}"></iframe>`));
  const inner = nested.frameLocator("iframe").frameLocator("iframe");
  await inner.locator(".run").click();
  await inner.locator(".output").filter({ hasText: "42" }).waitFor();
});

test("a frame works in an https page", async (t) => {
  const server = await LiveServer.start(t, ["--trusted-proxy", "127.0.0.1", "--allow-anonymous"]);
  const pages = await Pages.start(t);
  const context = await createContext(t, { ignoreHTTPSErrors: true });
  const [secureServer, securePages] = await Promise.all([
    startTlsProxy(t, server.port),
    startTlsProxy(t, pages.port),
  ]);
  const frame = frameOf(secureServer, "", textOf("print(input())"));
  const { page, refused } = await openPage(context, securePages + new URL(pages.add(frame)).pathname);
  await frameIn(page).locator(".run").click();
  await frameIn(page).getByLabel("Input for the program").fill("safe");
  await frameIn(page).getByLabel("Input for the program").press("Enter");
  await statusIn(page, "finished").waitFor();
  assert.equal(await frameIn(page).locator(".output").textContent(), "safe\nsafe\n");
  assert.deepEqual(refused, [], "nothing is mixed content");
});

test("only pages that the operator allows show frames, and these run programs", async (t) => {
  const pages = await Pages.start(t);
  const allowed = new URL(pages.add("")).origin;
  // The setting of its own, and that of all pages. Neither is the origin of the frame itself.
  for (const [flag, others] of [
    ["--frame-ancestors", ["--cors-origins", "https://learn.example"]],
    ["--cors-origins", []],
  ] as const) {
    const server = await LiveServer.start(t, [flag, allowed, ...others]);
    const context = await createContext(t);
    const frame = frameOf(server.url, "", textOf("print(6 * 7)"));
    const { page } = await openPage(context, pages.add(frame));
    assert.equal(await runIn(page), "42\n");
    const other = await openPage(context, pages.add(frame, "127.0.0.1"));
    assert.ok(other.refused.some((text) => text.includes("frame-ancestors")), other.refused.join());
    assert.equal(await frameIn(other.page).locator(".run").count(), 0);
  }
});

test("a server that knows its users says that it runs nothing in a frame", async (t) => {
  const server = await LiveServer.startWithTokens(t);
  const [pages, context] = await Promise.all([Pages.start(t), createContext(t)]);
  const page = await open(t, context, pages.add(frameOf(server.url, "", textOf("print(1)"))));
  await frameIn(page).getByText("nobody can sign in inside of a frame").waitFor();
  assert.equal(await frameIn(page).locator(".run").isVisible(), false);
  assert.ok(await frameIn(page).locator(".cm-content").filter({ hasText: "print(1)" }).isVisible());
});

test("a frame shows the program of a link, several files, or plain text", async (t) => {
  const { server, pages, context } = await setUp(t);
  // The server's own page packs programs into links.
  const own = await open(t, context, `${server.url}/`);
  await own.locator("live-code .cm-content").waitFor();
  await own.locator(".cm-content").press("ControlOrMeta+a");
  await own.keyboard.insertText(`print("1 + 1 = ü")`);
  await own.getByRole("button", { name: "Share" }).click();
  const link = await own.locator("#code-link").inputValue();
  const fragment = link.slice(link.indexOf("#") + 1);
  for (const [query, program, expected] of [
    ["", fragment, "1 + 1 = ü\n"],
    ["?runtime=bash", textOf(`echo "$((1+1)) & 100%"`), "2 & 100%\n"],
    ["?runtime=bash", "text=echo%20a+b", "a+b\n"],
    ["?runtime=python", `runtime=bash&${textOf("echo $0")}`, /bash|main\.sh/],
  ] as const) {
    const page = await open(t, context, pages.add(frameOf(server.url, query, program)));
    const shown = await runIn(page);
    if (expected instanceof RegExp) assert.match(shown, expected);
    else assert.equal(shown, expected);
    await page.close();
  }
  for (const damaged of ["code=AAAA", "text=%E0%A4%A", "files=AAAA"]) {
    const page = await open(t, context, pages.add(frameOf(server.url, "", damaged)));
    await frameIn(page).getByText("is damaged").waitFor();
    await page.close();
  }
  // The page around can show another program in the same frame.
  const page = await open(t, context, pages.add(frameOf(server.url, "", textOf("print(1)"))));
  assert.equal(await runIn(page), "1\n");
  await page.locator("iframe").evaluate((frame) => {
    const { src } = frame as HTMLIFrameElement;
    (frame as HTMLIFrameElement).src = src.replace("print(1)", "print(2)").replace(/print.*$/, "print(2)");
  });
  await frameIn(page).locator(".cm-content").filter({ hasText: "print(2)" }).waitFor();
  assert.equal(await frameIn(page).locator(".output").textContent(), "");
  assert.equal(await runIn(page), "2\n");
});

test("a frame is as high as its page makes it, or asks for the height that it needs", async (t) => {
  const { server, pages, context } = await setUp(t);
  const code = Array.from({ length: 60 }, (_, n) => `print(${n})`).join("\n");
  const listen = `<script>
    const asked = [];
    addEventListener("message", ({ source, origin, data }) => {
      const frame = document.querySelector("iframe");
      if (source !== frame.contentWindow || origin !== "null") return;
      asked.push(data);
      frame.height = data.height;
    });</script>`;
  const sizes = (page: Page) =>
    page.frames()[1]?.evaluate(() => {
      const { scrollHeight, clientHeight } = document.documentElement;
      const bottom = document.querySelector("live-code")?.getBoundingClientRect().bottom ?? 0;
      return { scrollHeight, clientHeight, bottom: Math.round(bottom) };
    });
  // Without the option, the program fits into the frame, whatever its size.
  for (const height of [150, 300, 900]) {
    const body = frameOf(server.url, "", textOf(code)).replace(`height="400"`, `height="${height}"`);
    const page = await open(t, context, pages.add(listen + body));
    await frameIn(page).locator(".cm-content").filter({ hasText: "print(0)" }).waitFor();
    await runIn(page);
    assert.deepEqual(await sizes(page), { scrollHeight: height, clientHeight: height, bottom: height });
    assert.deepEqual(await page.evaluate("asked"), []);
    await page.close();
  }
  const page = await open(t, context, pages.add(listen + frameOf(server.url, "?resize", textOf("print(1)"))));
  /** Waits until the frame has the height that it has asked for, within bounds. */
  const waitForHeight = async (min: number, max: number) => {
    await page.waitForFunction(
      `asked.at(-1)?.height >= ${min} && asked.at(-1).height <= ${max} && document.querySelector("iframe").clientHeight === asked.at(-1).height`,
    );
    const { scrollHeight, clientHeight } = (await sizes(page)) ?? {};
    assert.equal(scrollHeight, clientHeight, "nothing is cut off");
    return clientHeight as number;
  };
  const small = await waitForHeight(100, 250);
  const last = (await page.evaluate("asked.at(-1)")) as Record<string, unknown>;
  assert.deepEqual(last, { subject: "lti.frameResize", height: small });
  await frameIn(page).locator(".cm-content").press("ControlOrMeta+a");
  await page.keyboard.insertText(code);
  await runIn(page);
  // Long code and output scroll in the frame.
  await waitForHeight(600, 1000);
  await frameIn(page).locator(".reset").click();
  await runIn(page);
  await waitForHeight(small, small + 30);
});

test("a frame is accessible, and follows the colours of the visitor or of the option", async (t) => {
  const { server, context } = await setUp(t);
  const alone = await open(t, context, `${server.url}/embed#${textOf("print(1)")}`);
  await alone.locator(".run").waitFor();
  const ground = () => alone.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await alone.emulateMedia({ colorScheme: "dark" });
  const dark = await ground();
  await alone.emulateMedia({ colorScheme: "light" });
  assert.notEqual(await ground(), dark);
  await alone.goto(`${server.url}/embed?theme=dark#${textOf("print(1)")}`);
  await alone.locator(".run").waitFor();
  assert.equal(await ground(), dark);
  await alone.locator(".run").click();
  await alone.locator(".status").filter({ hasText: "finished" }).waitFor();
  assert.deepEqual(await findAxeViolations(alone), []);
});
