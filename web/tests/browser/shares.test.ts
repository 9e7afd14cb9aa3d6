/** Links by which others watch or join a session, on the server's page. */

import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import type { BrowserContext, Page, Route } from "playwright-core";
import {
  createContext,
  findAxeViolations,
  LiveServer,
  open,
  output,
  waitForStatus,
  writeProgram,
} from "./harness.js";

const ASK = "print('hello ' + input('name? '), flush=True)\nprint('and ' + input('more? '))";

/** A server of each kind, with its page on which the owner of a session has run a program. */
const KINDS = {
  async "the local user"(t: TestContext) {
    const server = await LiveServer.start(t);
    const page = await open(t, await createContext(t), server.url);
    await page.locator("live-code .run").waitFor();
    return { server, page };
  },
  async guests(t: TestContext) {
    const server = await LiveServer.startForGuests(t, "127.0.0.1");
    const page = await open(t, await createContext(t), server.url);
    await page.locator("live-code .run").waitFor();
    return { server, page };
  },
  async "users with tokens"(t: TestContext) {
    const server = await LiveServer.startWithTokens(t, []);
    const token = await server.token("create", "ada");
    const page = await open(t, await createContext(t), server.url);
    await page.getByLabel("Token").fill(token);
    await page.keyboard.press("Enter");
    await page.locator("live-code .run").waitFor();
    return { server, page };
  },
};

/** The URLs that a context has asked for. */
function recordUrls(context: BrowserContext): string[] {
  const urls: string[] = [];
  context.on("request", (request) => {
    urls.push(request.url());
    const { referer } = request.headers();
    if (referer) urls.push(referer);
  });
  context.on("page", (page) => page.on("websocket", (socket) => urls.push(socket.url())));
  return urls;
}

async function runProgram(page: Page): Promise<void> {
  await writeProgram(page, "python", ASK);
  await page.click("live-code .run");
  await output(page).filter({ hasText: "name?" }).waitFor();
}

/** Makes a link by the page's dialog, and leaves the dialog open. */
async function makeLink(page: Page, rights: "watch" | "join"): Promise<string> {
  if (!(await page.locator("#share-dialog[open]").isVisible())) await page.click("#share");
  await page.getByRole("button", { name: `Link to ${rights}`, exact: true }).click();
  return page.getByLabel(`Link to ${rights} the program`).inputValue();
}

/** Answers `DELETE` requests for `paths` with an error, until the returned function is called. */
async function refuseDeletion(page: Page, paths: RegExp, detail: string) {
  await page.route(paths, (route) =>
    route.request().method() === "DELETE"
      ? route.fulfill({ status: 503, json: { code: "internal", status: 503, detail } })
      : route.continue(),
  );
  return () => page.unroute(paths);
}

async function send(page: Page, text: string): Promise<void> {
  await page.getByLabel("Input for the program").fill(text);
  await page.keyboard.press("Enter");
}

for (const [kind, start] of Object.entries(KINDS)) {
  test(`others watch and join by links, on a server for ${kind}`, async (t) => {
    const { server, page } = await start(t);
    await runProgram(page);
    const [watch, join] = [await makeLink(page, "watch"), await makeLink(page, "join")];
    const secrets = [watch, join].map((link) => /share=(livecode_share_[0-9a-f]{48})/.exec(link)?.[1]);
    assert.deepEqual(await findAxeViolations(page), []);
    assert.equal(await page.locator("#share-list li").count(), 2);
    await page.keyboard.press("Escape");

    const contexts = [await createContext(t), await createContext(t)] as const;
    const urls = contexts.map(recordUrls).flat();
    const [watcher, friend] = [await open(t, contexts[0], watch), await open(t, contexts[1], join)];
    for (const other of [watcher, friend]) {
      await output(other).filter({ hasText: "name?" }).waitFor();
      assert.equal(new URL(other.url()).hash, "", "the secret is not in the address");
      await other.locator(".cm-content").filter({ hasText: "more?" }).waitFor();
      assert.ok(await other.locator("live-code .stop").isDisabled());
    }
    await waitForStatus(watcher, "waiting for input, you are watching");
    await waitForStatus(friend, "waiting for input, you have joined");
    assert.ok(await watcher.getByLabel("Input for the program").isHidden());
    await send(friend, "friend");
    for (const each of [page, watcher, friend]) {
      await output(each).filter({ hasText: "hello friend" }).waitFor();
    }
    assert.deepEqual(await findAxeViolations(friend), []);
    // A reload shows the session again.
    await friend.reload();
    await output(friend).filter({ hasText: "hello friend" }).waitFor();

    // The server ends; all are back when it is.
    await server.kill();
    for (const each of [page, watcher, friend]) await waitForStatus(each, "reconnecting");
    await server.restart();
    for (const each of [page, watcher, friend]) await waitForStatus(each, "waiting for input");
    assert.equal((await output(watcher).textContent())?.match(/hello/g)?.length, 1);

    await page.click("#share");
    await page.getByRole("button", { name: "Revoke the link to watch" }).click();
    await page.getByText("whoever watched by it is disconnected").waitFor();
    await watcher.getByText("This link opens no session any more").waitFor();
    await waitForStatus(watcher, "not shared any more");
    await waitForStatus(friend, "waiting for input, you have joined");
    await send(friend, "me");
    await waitForStatus(friend, "finished");
    for (const secret of secrets) {
      assert.ok(secret && !urls.some((url) => url.includes(secret)), "a secret is in a URL");
    }
    // A link that was revoked says so at once.
    const late = await open(t, contexts[0], watch);
    await late.getByText("This link opens no session any more").waitFor();
  });
}

test("a visitor who has no token sees one session and is asked for nothing", async (t) => {
  const { page } = await KINDS["users with tokens"](t);
  await runProgram(page);
  const link = await makeLink(page, "watch");
  const visitor = await open(t, await createContext(t), link);
  await output(visitor).filter({ hasText: "name?" }).waitFor();
  assert.ok(await visitor.locator("#sign-in").isHidden());
  for (const name of ["#share", "#sessions", "#runtime", "live-code .run"]) {
    assert.ok(await visitor.locator(name).isHidden(), name);
  }
  await visitor.locator(".cm-content").press("ControlOrMeta+Enter");
  await waitForStatus(visitor, "you are watching");
  assert.equal(await visitor.evaluate(() => JSON.stringify(localStorage).includes("token")), false);
});

test("what the server did not delete stays in the list, and the reason is told", async (t) => {
  const { server, page } = await KINDS["the local user"](t);
  await runProgram(page);
  await makeLink(page, "watch");
  const allow = await refuseDeletion(page, /\/sessions\//, "the disk is full");
  const revoke = page.getByRole("button", { name: "Revoke the link to watch" });
  await revoke.click();
  await page.locator("#share-dialog .said", { hasText: "the disk is full" }).waitFor();
  assert.ok(await revoke.isEnabled());
  await page.keyboard.press("Escape");
  await page.click("#sessions");
  const end = page.getByRole("button", { name: /^End Python/ });
  await end.click();
  await page.locator("#sessions-dialog .said", { hasText: "the disk is full" }).waitFor();
  assert.ok(await end.isEnabled());
  assert.equal((await server.sessions()).length, 1);
  await page.keyboard.press("Escape");

  await allow();
  await page.click("#share");
  await revoke.click();
  await page.getByText("whoever watched by it is disconnected").waitFor();
  assert.equal(await page.locator("#share-list li").count(), 0);
});

test("a link that is made late is not shown for another session", async (t) => {
  const { server, page } = await KINDS["the local user"](t);
  await runProgram(page);
  let hold = (_: Route) => {};
  const held = new Promise<Route>((resolve) => (hold = resolve));
  await page.route(/\/shares$/, (route) =>
    route.request().method() === "POST" ? hold(route) : route.continue(),
  );
  await page.click("#share");
  await page.locator("#share-watch").click();
  const route = await held;
  for (const name of ["#share-watch", "#share-join"]) {
    assert.ok(await page.locator(name).isDisabled(), name);
  }
  await page.keyboard.press("Escape");
  await runProgram(page);
  assert.equal((await server.sessions()).length, 2);
  await page.click("#share");
  await page.locator("#session-shares").waitFor();
  await route.continue();
  await page.locator("#share-watch:enabled").waitFor();
  assert.ok(await page.locator("#made-share").isHidden());
  assert.equal(await page.locator("#share-list li").count(), 0);
});

test("a visitor can sign in, and a link that was revoked is forgotten", async (t) => {
  const { server, page } = await KINDS["users with tokens"](t);
  await runProgram(page);
  const link = await makeLink(page, "watch");
  const [friend, stranger] = [
    await open(t, await createContext(t), link),
    await open(t, await createContext(t), link),
  ];
  for (const each of [friend, stranger]) await output(each).filter({ hasText: "name?" }).waitFor();
  assert.deepEqual(await findAxeViolations(friend), []);
  await friend.click("#visitor-sign-in");
  await friend.getByLabel("Token").fill(await server.token("create", "bob"));
  await friend.keyboard.press("Enter");
  await friend.locator("#sessions").waitFor();
  await waitForStatus(friend, "waiting for input, you are watching");
  await output(friend).filter({ hasText: "name?" }).waitFor();

  await page.getByRole("button", { name: "Revoke the link to watch" }).click();
  await stranger.getByText("This link opens no session any more").waitFor();
  assert.ok(await stranger.locator("#visitor-sign-in").isVisible());
  await stranger.reload();
  await stranger.getByText("knows its users by tokens").waitFor();
});

test("a link is opened in a tab that asks for a token", async (t) => {
  const { server, page } = await KINDS["users with tokens"](t);
  await runProgram(page);
  const link = await makeLink(page, "watch");
  const visitor = await open(t, await createContext(t), `${server.url}/`);
  await visitor.locator("#sign-in").waitFor();
  await visitor.goto(link); // The page is not loaded again, since only the fragment is new.
  await output(visitor).filter({ hasText: "name?" }).waitFor();
  assert.equal(new URL(visitor.url()).hash, "");
  assert.ok(await visitor.locator("#sign-in").isHidden());
  await visitor.click("#visitor-sign-in");
  assert.ok(await visitor.getByLabel("Token").evaluate((input) => input.matches(":focus")));
});
