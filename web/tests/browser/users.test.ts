/**
 * A server that knows its users by tokens or JWTs: its page, the module, and embeds on other
 * origins.
 */

import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { BrowserContext, Page } from "playwright-core";
import {
  classicPage,
  createContext,
  findAxeViolations,
  LiveServer,
  modulePage,
  NetworkProxy,
  open,
  openModule,
  output,
  Pages,
  setUp as setUpOpen,
  startV01Server,
  WAIT_TIMEOUT_MS,
  waitForStatus,
  writeProgram,
} from "./harness.js";

const ASK = "print('hello ' + input('name? '), flush=True)";
const wrong = `livecode_${"0".repeat(48)}`;

/**
 * A server with tokens, and what the tests need beside it. `checkSecrets` fails if a token that the
 * test made was in a URL, or a token or a ticket in the server's log.
 */
async function setUp(t: TestContext, { flags = [] as string[], options = {} } = {}) {
  const server = await LiveServer.startWithTokens(t, flags);
  const context = await createContext(t, options);
  const [urls, sockets] = [[] as string[], [] as string[]];
  context.on("request", (request) => urls.push(request.url()));
  context.on("page", (page) => page.on("websocket", (socket) => sockets.push(socket.url())));
  const secrets = [wrong];
  const createToken = async (...words: string[]) => {
    const token = await server.token("create", ...words);
    secrets.push(token);
    return token;
  };
  const checkSecrets = () => {
    const tickets = sockets.flatMap((url) => /ticket=([^&]+)/.exec(url)?.slice(1) ?? []);
    const log = server.log.join("\n");
    assert.ok(log.includes("DEBUG"), "the log is collected");
    for (const url of [...urls, ...sockets]) {
      assert.ok(!secrets.some((token) => url.includes(token)), `a token is in ${url}`);
    }
    for (const secret of [...secrets, ...tickets]) {
      assert.ok(!log.includes(secret), "a token or a ticket is in the log");
    }
  };
  return { server, context, sockets, createToken, checkSecrets };
}

const form = (page: Page) => page.locator("#sign-in");
const says = (page: Page, text: string) =>
  page.locator("#sign-in-status").filter({ hasText: text }).waitFor();

async function signIn(page: Page, token: string): Promise<void> {
  await page.getByLabel("Token").fill(token);
  await page.keyboard.press("Enter");
}

/** Opens the server's page, and signs in. */
async function openAs(t: TestContext, context: BrowserContext, url: string, token: string) {
  const page = await open(t, context, url);
  await signIn(page, token);
  await page.locator("live-code .run").waitFor();
  return page;
}

/** Calls `look` until it returns something. */
async function eventually<T>(look: () => Promise<T | undefined | false>): Promise<T> {
  const until = Date.now() + WAIT_TIMEOUT_MS;
  for (;;) {
    const found = await look();
    if (found) return found;
    assert.ok(Date.now() < until, "the test waits in vain");
    await setTimeout(50);
  }
}

test("a user signs in, runs a program, and returns to it", async (t) => {
  const { server, context, createToken, checkSecrets } = await setUp(t);
  const ada = await createToken("ada");
  const page = await open(t, context, server.url);
  await form(page).getByText("knows its users by tokens").waitFor();
  assert.ok(await page.getByLabel("Token").evaluate((input) => input.matches(":focus")));
  assert.equal(await page.locator("live-code").count(), 0);
  await signIn(page, wrong);
  await says(page, "This token is not valid");
  await signIn(page, "not a token ☺");
  await says(page, "This token is not valid");
  assert.equal(await page.evaluate(() => JSON.stringify(localStorage)), "{}");
  await signIn(page, ada);
  await form(page).waitFor({ state: "hidden" });

  await writeProgram(page, "python", ASK);
  await page.click("live-code .run");
  await output(page).filter({ hasText: "name?" }).waitFor();
  await page.reload();
  await output(page).filter({ hasText: "name?" }).waitFor();
  await server.kill();
  await waitForStatus(page, "reconnecting");
  await server.restart();
  await waitForStatus(page, "waiting for input");
  await page.getByLabel("Input for the program").fill("Ada");
  await page.keyboard.press("Enter");
  await output(page).filter({ hasText: "hello Ada" }).waitFor();
  await waitForStatus(page, "finished");

  await page.click("#sessions");
  await page.locator("#session-list li").waitFor();
  await page.getByRole("button", { name: /^Forget/ }).click();
  await page.getByText("You have no sessions yet").waitFor();
  assert.deepEqual(await server.sessions(), []);
  checkSecrets();
});

test("signing out leaves nothing of the user in the browser", async (t) => {
  const { server, context, createToken, checkSecrets } = await setUp(t);
  const [ada, bob] = [await createToken("ada"), await createToken("bob")];
  const page = await openAs(t, context, server.url, ada);
  const other = await open(t, context, server.url);
  await other.locator("live-code .run").waitFor();
  await writeProgram(page, "python", "print('by Ada')");
  await page.click("live-code .run");
  await waitForStatus(page, "finished");
  await page.click("#share");
  await page.getByLabel("Link to the code").waitFor();
  await page.keyboard.press("Escape");
  await page.click("#sign-out");
  await page.getByRole("button", { name: "Cancel" }).click();
  assert.ok(await page.evaluate(() => JSON.stringify(localStorage).includes("livecode_")));
  await page.click("#sign-out");
  await page.click("#sign-out-now");
  await form(page).waitFor();
  // Another tab follows.
  await form(other).waitFor();
  const kept = await page.evaluate(() => JSON.stringify([localStorage, sessionStorage]));
  assert.ok(!kept.includes("Ada") && !kept.includes("livecode_"), kept);

  await signIn(page, bob);
  await page.locator("live-code .run").waitFor();
  await other.locator("live-code .run").waitFor();
  await page.click("#sessions");
  await page.getByText("You have no sessions yet").waitFor();
  assert.equal((await server.sessions()).length, 1, "Ada's session is still there");
  checkSecrets();
});

test("signing out in another tab leaves nothing in the one that signed in", async (t) => {
  const { server, context, createToken, checkSecrets } = await setUp(t);
  const [ada, bob] = [await createToken("ada"), await createToken("bob")];
  const page = await openAs(t, context, server.url, ada);
  const code = page.locator(".cm-content");
  await writeProgram(page, "python", "print('by Ada')");
  await page.getByRole("button", { name: "My program", exact: true }).waitFor();
  const other = await open(t, context, server.url);
  await other.locator("live-code .run").waitFor();
  await other.click("#sign-out");
  await code.press("ControlOrMeta+End");
  await page.keyboard.insertText("# Ada, at the last moment");
  await other.click("#sign-out-now");
  await form(other).waitFor();
  await form(page).waitFor();
  for (const tab of [page, other]) {
    const kept = await tab.evaluate(async () => {
      const open = indexedDB.open("livecode");
      await new Promise((resolve) => (open.onsuccess = resolve));
      const request = open.result.transaction("programs").objectStore("programs").getAll();
      await new Promise((resolve) => (request.onsuccess = resolve));
      open.result.close();
      return JSON.stringify([localStorage, sessionStorage, request.result]);
    });
    assert.ok(!kept.includes("Ada") && !kept.includes("livecode_"), kept);
  }
  await signIn(page, bob);
  await page.locator("live-code .run").waitFor();
  await page.click("#programs");
  await page.getByText("You have no programs yet").waitFor();
  assert.ok(!(await code.textContent())?.includes("Ada"));
  checkSecrets();
});

test("a program survives that its user's token is revoked", async (t) => {
  const { server, context, createToken, checkSecrets } = await setUp(t);
  const page = await openAs(t, context, server.url, await createToken("ada"));
  await writeProgram(page, "python", ASK);
  await page.click("live-code .run");
  await output(page).filter({ hasText: "name?" }).waitFor();
  await server.token("revoke", "ada");
  await form(page).getByText("not valid any more").waitFor();
  await waitForStatus(page, "reconnecting");
  assert.equal(await output(page).textContent(), "name? ");
  await signIn(page, await createToken("ada"));
  await waitForStatus(page, "waiting for input");
  await page.getByLabel("Input for the program").fill("Ada");
  await page.keyboard.press("Enter");
  await waitForStatus(page, "finished");
  assert.match((await output(page).textContent()) ?? "", /hello Ada/);

  // A reload with a token that has ended asks for another one.
  await server.token("revoke", "ada");
  await page.reload();
  await form(page).getByText("not valid any more").waitFor();
  checkSecrets();
});

test("the form works on a phone and by keyboard, and says when to wait", async (t) => {
  const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
  const { server, context, createToken, checkSecrets } = await setUp(t, { options: phone });
  const page = await open(t, context, server.url);
  await form(page).waitFor();
  assert.deepEqual(await findAxeViolations(page), []);
  const fits = () =>
    page.evaluate(() => {
      const { scrollWidth, clientWidth } = document.documentElement;
      return scrollWidth <= clientWidth;
    });
  assert.ok(await fits());
  const guess = async () => {
    const headers = { Authorization: `Bearer ${wrong}` };
    const response = await fetch(`${server.url}/sessions`, { headers });
    await response.arrayBuffer();
    return response.status;
  };
  // The server lets some wrong tokens through in each second, and the page sends them more slowly
  // than that on a busy machine. So others are sent until the page has been refused.
  let isRefused = false;
  const guessOn = async () => {
    while (!isRefused) await guess();
  };
  const guesses = Promise.all(Array.from({ length: 20 }, guessOn));
  try {
    await signIn(page, wrong);
    await eventually(async () => {
      await page.locator("#sign-in button:enabled").waitFor();
      const said = await page.textContent("#sign-in-status");
      if (said?.includes("Wait 10 seconds")) return true;
      await page.keyboard.press("Enter");
      return false;
    });
  } finally {
    isRefused = true;
    await guesses;
  }
  assert.deepEqual(await findAxeViolations(page), []);
  // A right token is accepted nevertheless.
  await signIn(page, await createToken("ada"));
  await form(page).waitFor({ state: "hidden" });
  await page.locator("live-code .run").waitFor();
  assert.ok(await fits());
  await page.click("#sign-out");
  assert.deepEqual(await findAxeViolations(page), []);
  await page.keyboard.press("Escape");
  assert.deepEqual(await findAxeViolations(page), []);
  checkSecrets();
});

test("the list of sessions has filters", async (t) => {
  const { server, context, createToken, checkSecrets } = await setUp(t);
  const token = await createToken("ada");
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  for (const [runtime, code] of [
    ["bash", "true"],
    ["bash", "read line"],
    ["python", "print(1)"],
  ]) {
    const body = JSON.stringify({ runtime, code });
    const response = await fetch(`${server.url}/sessions`, { method: "POST", headers, body });
    assert.equal(response.status, 201);
  }
  await eventually(async () => {
    const states = (await server.sessions()).map(({ state }) => state);
    return states.filter((state) => state === "ended").length === 2;
  });
  const page = await openAs(t, context, server.url, token);
  await page.click("#sessions");
  const rows = page.locator("#session-list li .title");
  await rows.first().waitFor();
  const titles = async () => (await rows.allTextContents()).map((title) => title.split(":")[0]);
  assert.deepEqual(await titles(), ["Python", "Bash", "Bash"]);
  const dialog = page.locator("#sessions-dialog");
  await dialog.getByLabel("State").selectOption("ended");
  await dialog.getByText("2 in all.").waitFor();
  assert.deepEqual(await titles(), ["Python", "Bash"]);
  await dialog.getByLabel("Runtime").selectOption("bash");
  await dialog.getByText("1 in all.").waitFor();
  assert.deepEqual(await titles(), ["Bash"]);
  await dialog.getByLabel("State").selectOption("running");
  await dialog.getByRole("button", { name: /^End Bash/ }).click();
  await dialog.getByText("You have no such session.").waitFor();
  await dialog.getByLabel("State").selectOption("All");
  await dialog.getByText("1 in all.").waitFor();
  assert.deepEqual(await findAxeViolations(page), []);
  assert.equal((await server.sessions()).length, 2);

  // The rest of a long list is asked for page by page.
  for (let batch = 0; batch < 11; batch++) {
    const body = JSON.stringify({ runtime: "bash", code: "true" });
    const create = () => fetch(`${server.url}/sessions`, { method: "POST", headers, body });
    const made = await Promise.all(Array.from({ length: 10 }, create));
    assert.ok(made.every(({ status }) => status === 201));
  }
  await dialog.getByLabel("State").selectOption("All");
  await dialog.getByLabel("Runtime").selectOption("All");
  await dialog.getByText("The last 100.").waitFor();
  await dialog.getByRole("button", { name: "More" }).focus();
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelectorAll("#session-list li").length === 112);
  assert.ok(await dialog.getByRole("button", { name: "More" }).isHidden());
  const focused = await page.evaluate(() => {
    const row = document.activeElement?.closest("li") as Element;
    return [...document.querySelectorAll("#session-list li")].indexOf(row);
  });
  assert.equal(focused, 100);
  checkSecrets();
});

test("a stream is opened again after its ticket has expired", async (t) => {
  const { server, context, sockets, createToken, checkSecrets } = await setUp(t, {
    flags: ["--ticket-lifetime-ms", "1000"],
  });
  const [pages, proxy] = [await Pages.start(t), await NetworkProxy.start(t, server.port)];
  const page = await openModule(t, context, pages.add(modulePage(proxy.url)));
  await page.evaluate(
    ([token, code]) => {
      const count = { calls: 0 };
      Object.assign(window, { count });
      const source = async () => (count.calls++, token as string);
      const program = { runtime: "python", code: code as string };
      session = client.run({ ...place, ...program, token: source }, hooks);
    },
    [await createToken("ada"), ASK],
  );
  await page.waitForFunction(() => notes.output === "name? ");
  const [first = ""] = sockets;
  assert.match(first, /\?ticket=/);
  await eventually(async () => (await fetch(first.replace("ws:", "http:"))).status === 401);
  proxy.cut();
  await page.waitForFunction(() => notes.states.join() === "live,reconnecting,live");
  await page.evaluate(() => session.input("Ada\n"));
  assert.equal((await page.evaluate(() => session.ended)).exitstatus, 0);
  const shown = await page.evaluate(() => [notes.output, notes.errors]);
  assert.deepEqual(shown, ["name? hello Ada\n", []]);
  assert.notEqual(sockets.at(-1), first);
  const calls = await page.evaluate(() => (window as unknown as { count: object }).count);
  assert.deepEqual(calls, { calls: 1 }, "the token is still good");
  checkSecrets();
});

test("a page is told that its token has ended, or brings a new one", async (t) => {
  const { server, context, createToken, checkSecrets } = await setUp(t);
  const pages = await Pages.start(t);
  const url = pages.add(modulePage(server.url));
  const [fixed, renewing] = [await openModule(t, context, url), await openModule(t, context, url)];
  const token = await createToken("ada");
  let next = Promise.resolve(token);
  await renewing.exposeFunction("fetchToken", () => next);
  await fixed.evaluate(
    ([token, code]) =>
      void (session = client.run(
        { ...place, runtime: "python", code: code as string, token: token as string },
        { ...hooks, onError: ({ code }) => notes.errors.push(String(code)) },
      )),
    [token, ASK],
  );
  await renewing.evaluate(
    (code) =>
      void (session = client.run(
        {
          ...place,
          runtime: "python",
          code,
          token: () => (window as unknown as { fetchToken(): Promise<string> }).fetchToken(),
        },
        hooks,
      )),
    ASK,
  );
  for (const page of [fixed, renewing])
    await page.waitForFunction(() => notes.output === "name? ");
  let resolve = (_: string) => {};
  next = new Promise((resolveNext) => (resolve = resolveNext));
  await server.token("revoke", "ada");
  await fixed.waitForFunction(() => session.state === "ended");
  assert.deepEqual(await fixed.evaluate(() => notes.errors), ["unauthorized"]);
  await renewing.waitForFunction(() => notes.states.join() === "live,reconnecting");
  resolve(await createToken("ada"));
  await renewing.waitForFunction(() => notes.states.join() === "live,reconnecting,live");
  await renewing.evaluate(() => session.input("Ada\n"));
  await renewing.evaluate(() => session.ended);
  const shown = await renewing.evaluate(() => [notes.output, notes.errors]);
  assert.deepEqual(shown, ["name? hello Ada\n", []]);
  for (const page of [fixed, renewing])
    assert.equal(await page.evaluate(() => JSON.stringify(localStorage)), "{}");
  checkSecrets();
});

test("an embed on another origin fetches tokens from its own site", async (t) => {
  const { server, context, createToken, checkSecrets } = await setUp(t);
  const guests = await setUpOpen(t);
  const pages = guests.pages;
  const old = await createToken("old");
  await server.token("revoke", "old");
  const token = await createToken("ada");
  const cookies: (string | undefined)[] = [];
  pages.answer("/livecode-token", ({ headers }) => {
    cookies.push(headers.cookie);
    return [200, cookies.length === 1 ? old : JSON.stringify({ token })];
  });
  const tag = `data-token-url="/livecode-token" data-runtime="python"`;
  const body = `<pre>print(6 * 7)</pre><live-code runtime="python">print("of its own")</live-code>`;
  const url = pages.add(classicPage(server.url, body).replace("<script src", `<script ${tag} src`));
  await context.addCookies([{ name: "user", value: "ada", url }]);
  const page = await open(t, context, url);
  for (const [at, text] of ["42\n", "of its own\n"].entries()) {
    const editor = page.locator("live-code").nth(at);
    await editor.locator(".run").click();
    await editor.and(page.locator("[data-exitstatus='0']")).waitFor();
    assert.equal(await editor.locator(".output").textContent(), text);
  }
  assert.deepEqual(cookies, ["user=ada", "user=ada"], "one token, and one in place of the old one");
  const run = (options: object) =>
    page.evaluate(
      (options) => runClassic({ runtime: "python", code: "print(1)", ...options }),
      options,
    );
  const received = await run({});
  assert.deepEqual(
    received.map(({ msgtype }) => msgtype),
    ["welcome", "write", "exitstatus"],
  );
  // The token is for the server of the script alone.
  const asked = page.waitForRequest((request) => request.url() === `${guests.server.url}/sessions`);
  assert.equal((await run({ base_url: guests.server.url })).at(-1)?.exitstatus, 0);
  assert.match((await (await asked).headerValue("authorization")) ?? "", /^Bearer [0-9a-f]{32}$/);
  assert.ok(!(await page.evaluate(() => JSON.stringify(localStorage))).includes("livecode_"));
  // A token can be given to the class as well; one that is wrong is an error.
  assert.equal((await run({ token })).at(-1)?.exitstatus, 0);
  const refused = (await run({ token: wrong })).at(-1);
  assert.equal(refused?.msgtype, "error");
  assert.match(String(refused?.error), /wrong, has expired or was revoked/);
  checkSecrets();
});

test("a program is followed while the JWTs of its site expire one after another", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "livecode-web-key-"));
  t.after(() => rm(folder, { recursive: true }));
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const keyFile = join(folder, "public.pem");
  await writeFile(keyFile, publicKey.export({ type: "spki", format: "pem" }));
  const flags = ["--auth", "jwt", "--jwt-key-file", keyFile];
  const claims = { iss: "https://learn.example", aud: "livecode", sub: "ada" };
  flags.push("--jwt-issuer", claims.iss, "--jwt-audience", claims.aud);
  const [server, pages] = [await LiveServer.start(t, flags), await Pages.start(t)];
  let made = 0;
  pages.answer("/livecode-token", () => {
    made++;
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    // The server takes a JWT for 30 seconds longer than the JWT says, so this one has 2 to 3 left.
    const exp = Math.floor(Date.now() / 1000) - 27;
    const text = `${encode({ alg: "EdDSA", typ: "JWT" })}.${encode({ ...claims, exp })}`;
    return [200, `${text}.${sign(null, Buffer.from(text), privateKey).toString("base64url")}`];
  });
  const page = await openModule(t, await createContext(t), pages.add(modulePage(server.url)));
  const code = "import time\nfor n in range(40):\n    print(n)\n    time.sleep(0.2)";
  const exit = await page.evaluate((code) => {
    const token = client.tokenFromUrl("/livecode-token");
    return client.run({ ...place, token, runtime: "python", code }, hooks).ended;
  }, code);
  assert.equal(exit.exitstatus, 0);
  const [output, errors] = await page.evaluate(() => [notes.output, notes.errors]);
  assert.equal(output, Array.from({ length: 40 }, (_, n) => `${n}\n`).join(""));
  assert.deepEqual(errors, []);
  assert.ok(made >= 2, `${made} JWTs were made`);
});

test("an element has a source of tokens of its own, and shows why there is no token", async (t) => {
  const { server, context, createToken, checkSecrets } = await setUp(t);
  const pages = await Pages.start(t);
  const token = await createToken("ada");
  pages.answer("/token", () => [200, token]);
  pages.answer("/no-token", () => [401, "log in first"]);
  const element = (url: string, id: string) =>
    `<live-code id="${id}" token-url="${url}">print("hello")</live-code>`;
  const body = `${element("/token", "own")}${element("/no-token", "none")}<script>
    document.getElementById("none").after(document.createElement("live-code"));
  </script>`;
  const page = await open(t, context, pages.add(classicPage(server.url, body)));
  await page.locator("#own .run").click();
  await page.locator("#own[data-exitstatus='0']").waitFor();
  await page.locator("#none .run").click();
  const refused = "no token could be fetched: /no-token answered 401";
  await page.locator("#none .output").filter({ hasText: refused }).waitFor();
  // The property wins. It may be set at any time.
  await page.evaluate((token) => {
    Object.assign(document.getElementById("none") as object, { token });
  }, token);
  await page.locator("#none .run").click();
  await page.locator("#none[data-exitstatus='0']").waitFor();
  // Without a token the caller is a guest, and there are none here.
  await page.locator("live-code").last().locator(".run").click();
  await page.locator("live-code .output").last().filter({ hasText: "has expired" }).waitFor();
  checkSecrets();
});

test("a user is told that a quota is used up", async (t) => {
  const { server, context, createToken, checkSecrets } = await setUp(t, {
    flags: ["--user-creations-per-min", "1"],
  });
  const page = await openAs(t, context, server.url, await createToken("ada"));
  await writeProgram(page, "python", "print(1)");
  await page.click("live-code .run");
  await waitForStatus(page, "finished");
  await page.click("live-code .run");
  await waitForStatus(page, "waiting: you may create 1 sessions in a minute; try again in");
  checkSecrets();
});

test("the websocket of v0.1 is opened with a ticket", async (t) => {
  const { server, context, sockets, createToken, checkSecrets } = await setUp(t);
  const pages = await Pages.start(t);
  const old = await startV01Server(t, server.port, ["/tickets"]);
  const page = await open(t, context, pages.add(classicPage(server.url)));
  const options = { base_url: old, token: await createToken("ada") };
  const received = await page.evaluate(
    (options) => runClassic({ ...options, runtime: "python", code: "print(1)" }),
    options,
  );
  assert.equal(received.at(-1)?.exitstatus, 0);
  assert.match(sockets.at(-1) ?? "", /\/livecode\?ticket=/);
  checkSecrets();
});

test("a user reads what is left of the quotas, and what to do when one is used up", async (t) => {
  const { server, context, createToken } = await setUp(t, {
    flags: ["--user-output-bytes-per-day", "4000", "--user-cpu-ms-per-day", "3600000"],
  });
  const page = await openAs(t, context, server.url, await createToken("ada"));
  const quota = page.locator("#quota");
  const lookUp = async (text: string) => {
    await page.getByRole("button", { name: "Sessions" }).click();
    const hasText = await quota
      .filter({ hasText: text })
      .waitFor({ timeout: 1000 })
      .then(() => true)
      .catch(() => false);
    const violations = hasText ? await findAxeViolations(page) : [];
    assert.deepEqual(violations, []);
    await page.locator("#sessions-dialog form button").click();
    return hasText;
  };
  assert.ok(await lookUp("You have used 0 of 60 minutes of CPU time today."));
  await writeProgram(page, "python", "print('x' * 5000)");
  await page.click("live-code .run");
  await waitForStatus(page, "finished");
  // A session counts a moment after its end.
  await eventually(() => lookUp("You have used up the 4 kB of output for today."));
  await page.click("live-code .run");
  await page.getByText("your programs may write 4000 bytes in a day").first().waitFor();
});
