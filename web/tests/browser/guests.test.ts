/** Guests on the server's own page, and what pages of other origins can do in their browsers. */

import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import type { BrowserContext, Page } from "playwright-core";
import {
  createContext,
  LiveServer,
  open,
  openFrontPage,
  output,
  Pages,
  waitForStatus,
  writeProgram,
} from "./harness.js";

const ASK = "print('hello ' + input('name? '), flush=True)";
/** A name for which a browser says nothing about the page of a GET without TLS. */
const PLAIN_HOST = "livecode.test";

async function setUp(t: TestContext, host: string) {
  const server = await LiveServer.startForGuests(t, host);
  const context = await createContext(t);
  return { server, context, url: `http://${host}:${server.port}` };
}

/** Opens the server's page. The browser may log requests that fail while the server is away. */
async function openPage(t: TestContext, context: BrowserContext, url: string): Promise<Page> {
  const page = await open(t, context, `${url}/`);
  await page.locator("live-code .run").waitFor();
  return page;
}

/** Runs a program that waits for input, and returns the id of its session. */
async function runAsking(page: Page, server: LiveServer): Promise<string> {
  await writeProgram(page, "python", ASK);
  await page.click("live-code .run");
  await output(page).filter({ hasText: "name?" }).waitFor();
  const [session] = await server.sessions();
  return session?.id as string;
}

async function answer(page: Page): Promise<void> {
  await page.getByLabel("Input for the program").fill("Ada");
  await page.keyboard.press("Enter");
  await output(page).filter({ hasText: "hello Ada" }).waitFor();
  await waitForStatus(page, "finished");
}

async function listedSessions(page: Page): Promise<number> {
  await page.click("#sessions");
  const settled = page.locator("#session-list li, #sessions-dialog .said:not(:empty)").first();
  await settled.waitFor();
  await page.locator("#sessions-dialog .said", { hasText: "Asking" }).waitFor({ state: "hidden" });
  const count = await page.locator("#session-list li").count();
  await page.keyboard.press("Escape");
  return count;
}

for (const host of ["127.0.0.1", PLAIN_HOST]) {
  test(`a guest at ${host} is known by a cookie that scripts cannot read`, async (t) => {
    const { server, context, url } = await setUp(t, host);
    const page = await openPage(t, context, url);
    await runAsking(page, server);
    const [cookie, ...others] = await context.cookies();
    assert.deepEqual(others, []);
    assert.equal(cookie?.name, "livecode-guest");
    assert.ok(cookie.httpOnly && cookie.sameSite === "Lax" && cookie.path === "/");
    assert.equal(await page.evaluate(() => document.cookie), "");
    const kept = await page.evaluate(() => JSON.stringify([localStorage, sessionStorage]));
    assert.ok(!kept.includes("livecode-token"), kept);
    await page.reload();
    await output(page).filter({ hasText: "name?" }).waitFor();
    await server.kill();
    await waitForStatus(page, "reconnecting");
    await server.restart();
    await waitForStatus(page, "waiting for input");
    await answer(page);
    assert.equal(await listedSessions(page), 1);
    // Another browser is another guest.
    const other = await openFrontPage(t, await createContext(t), `${url}/`);
    assert.equal(await listedSessions(other), 0);
  });
}

test("a token that an older page has stored finds its sessions", async (t) => {
  const { server, context, url } = await setUp(t, "127.0.0.1");
  const token = "0a".repeat(16);
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  const body = JSON.stringify({ runtime: "bash", code: "true" });
  const created = await fetch(`${server.url}/sessions`, { method: "POST", headers, body });
  const { links } = (await created.json()) as { links: { self: string } };
  const page = await openPage(t, context, url);
  await page.evaluate(
    ([key, token]) => localStorage.setItem(key as string, token as string),
    [`livecode-token:${url}`, token],
  );
  await page.reload();
  await page.locator("live-code .run").waitFor();
  assert.equal(await listedSessions(page), 1);
  await runAsking(page, server);
  await answer(page);
  assert.equal(await listedSessions(page), 2);
  // Once it has none, the page forgets it.
  await page.getByRole("button", { name: "Sessions" }).click();
  for (let left = 2; left > 0; left--) {
    await page.getByRole("button", { name: /^Forget/ }).first().click();
    await page.waitForFunction(
      (count) => document.querySelectorAll("#session-list li").length === count,
      left - 1,
    );
  }
  assert.equal((await fetch(links.self, { headers })).status, 404);
  await page.reload();
  await page.locator("live-code .run").waitFor();
  assert.deepEqual(
    await page.evaluate(() => Object.keys(localStorage).filter((key) => key.includes("token"))),
    [],
  );
});

/**
 * Tries in a page all by which a page can have its visitor's browser ask the server. Returns what
 * the page got to know.
 */
async function attack(page: Page, url: string, id: string): Promise<string[]> {
  return page.evaluate(
    async ([url, id]) => {
      const known: string[] = [];
      const session = `${url}/sessions/${id}`;
      const body = JSON.stringify({ runtime: "bash", code: "echo stolen; sleep 60" });
      const json = { "Content-Type": "application/json" };
      const tries: [string, RequestInit][] = [];
      for (const path of [`${url}/sessions`, session, `${session}/stream`, `${url}/runtimes`]) {
        const accept = { Accept: "application/x-ndjson" };
        for (const mode of ["cors", "no-cors"] as const) {
          tries.push([path, { mode, credentials: "include", headers: accept }]);
        }
        tries.push([path, { headers: { ...accept, "X-Requested-With": "livecode" } }]);
      }
      for (const path of [`${url}/sessions`, `${url}/exec`, `${url}/tickets`]) {
        tries.push([path, { method: "POST", body, headers: json, credentials: "include" }]);
        tries.push([path, { method: "POST", body, mode: "no-cors", credentials: "include" }]);
      }
      tries.push([session, { method: "DELETE", credentials: "include" }]);
      tries.push([session, { method: "DELETE" }]);
      for (const [path, init] of tries) {
        try {
          const response = await fetch(path, { ...init, signal: AbortSignal.timeout(10_000) });
          const text = await response.text();
          if (text.includes(id as string)) known.push(`${init.method} ${path}: ${text}`);
          // With the cookie nothing may be read at all.
          if (init.credentials && response.type !== "opaque") known.push(`read ${path}`);
        } catch {
          // The browser does not let the page read the answer.
        }
      }
      await new Promise<void>((resolve) => {
        const socket = new WebSocket(`${session.replace("http", "ws")}/stream`);
        socket.onopen = () => known.push("the websocket is open");
        socket.onclose = () => resolve();
      });
      for (const withCredentials of [true, false]) {
        await new Promise<void>((resolve) => {
          const events = new EventSource(`${session}/stream`, { withCredentials });
          events.onmessage = ({ data }) => known.push(String(data));
          events.onerror = () => (events.close(), resolve());
        });
      }
      const load = (element: HTMLElement, ready: () => void) =>
        new Promise<void>((resolve) => {
          element.onload = () => (ready(), resolve());
          element.onerror = () => resolve();
          document.body.append(element);
        });
      for (const path of [session, `${url}/sessions`, `${session}/stream`]) {
        const image = Object.assign(new Image(), { src: path });
        await load(image, () => known.push(`an image: ${path}`));
        const script = Object.assign(document.createElement("script"), { src: path });
        await load(script, () => known.push(`a script: ${path}`));
      }
      for (const path of [`${url}/`, session]) {
        const frame = Object.assign(document.createElement("iframe"), { src: path });
        await load(frame, () => {
          const text = frame.contentDocument?.body.textContent;
          if (text) known.push(`a frame: ${text}`);
        });
      }
      for (const path of [`${url}/sessions`, `${url}/exec`, `${url}/runtimes/bash`]) {
        const frame = document.createElement("iframe");
        frame.name = `form-${path}`;
        document.body.append(frame);
        const form = document.createElement("form");
        const enctype = "text/plain";
        Object.assign(form, { method: "post", action: path, enctype, target: frame.name });
        // The text of the body is {"runtime":"bash","code":"echo stolen","x":"="}.
        const input = document.createElement("input");
        input.name = '{"runtime":"bash","code":"echo stolen","x":"';
        input.value = '"}';
        form.append(input);
        document.body.append(form);
        const loaded = new Promise((resolve) => (frame.onload = resolve));
        form.submit();
        await loaded;
      }
      return known;
    },
    [url, id],
  );
}

for (const host of ["127.0.0.1", PLAIN_HOST]) {
  test(`a page of another origin does nothing by the cookie of a visitor at ${host}`, async (t) => {
    const { server, context, url } = await setUp(t, host);
    const page = await openFrontPage(t, context, `${url}/`);
    const id = await runAsking(page, server);
    const pages = await Pages.start(t);
    const sent: Promise<boolean>[] = [];
    context.on("request", (request) => {
      const isOther = request.frame().page() !== page;
      if (!isOther || !request.url().startsWith(url)) return;
      sent.push(request.allHeaders().then(({ cookie }) => Boolean(cookie)).catch(() => false));
    });
    // Another port is another origin, and the same site, so the browser sends the cookie to it.
    for (const other of [host, host === PLAIN_HOST ? `other.${host}` : "localhost"]) {
      const foreign = await open(t, context, pages.add("<p>hello</p>", other));
      assert.deepEqual(await attack(foreign, url, id), [], other);
      const withCookie = (await Promise.all(sent.splice(0))).filter(Boolean).length;
      if (other === host) assert.ok(withCookie > 0, "the browser has sent the cookie");
      await foreign.close();
    }
    const sessions = await server.sessions();
    assert.deepEqual(
      sessions.map(({ id, state }) => [id, state]),
      [[id, "running"]],
      "nothing was made or ended",
    );
    assert.equal(await listedSessions(page), 1);
    await answer(page);
  });
}
