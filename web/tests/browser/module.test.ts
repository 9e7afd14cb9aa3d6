/** The module `livecode-client`, in a browser. */

import assert from "node:assert/strict";
import test from "node:test";
import { setUp, NetworkProxy, modulePage, startV01Server, openModule } from "./harness.js";

const COUNT = "import time\nfor n in range(30):\n    print(n)\n    time.sleep(0.1)";
const COUNTED = Array.from({ length: 30 }, (_, n) => `${n}\n`).join("");

test("input arrives once and in order, even if the connection is cut", async (t) => {
  const { server, pages, context } = await setUp(t);
  const proxy = await NetworkProxy.start(t, server.port);
  const page = await openModule(t, context, pages.add(modulePage(proxy.url)));
  const code = "import sys\nprint('ready')\nfor line in sys.stdin: print('got', line, end='')";
  await page.evaluate(
    (code) => void (session = client.run({ ...place, runtime: "python", code }, hooks)),
    code,
  );
  await page.waitForFunction(() => notes.output.includes("ready"));
  const sent = page.evaluate(async () => {
    const all = Array.from({ length: 200 }, (_, n) => session.input(`line ${n}\n`));
    await Promise.all(all);
    return session.waiting;
  });
  for (const [index, mark] of [20, 60, 120].entries()) {
    // The proxy can only cut a connection that is live.
    await page.waitForFunction(
      (mark) => session.state === "live" && notes.output.includes(`got line ${mark}\n`),
      mark,
    );
    proxy.cut();
    const isCut = (cuts: number) =>
      notes.states.filter((state) => state === "reconnecting").length === cuts;
    await page.waitForFunction(isCut, index + 1);
  }
  assert.equal(await sent, 0, "all input is acknowledged");
  // This text needs several messages, and contains surrogate pairs that must not be split.
  const long = 'ẞ😀\\"\u0001'.repeat(20_000);
  await page.evaluate((long) => session.input(`${long}\n`, { eof: true }), long);
  await page.evaluate(() => session.ended);
  const output = await page.evaluate(() => notes.output);
  const lines = Array.from({ length: 200 }, (_, n) => `got line ${n}\n`).join("");
  assert.equal(output, `ready\n${lines}got ${long}\n`);
  const states = await page.evaluate(() => notes.states);
  assert.equal(states.filter((state) => state === "reconnecting").length, 3, states.join());
  assert.equal(states.at(-1), "ended");
  assert.deepEqual(await page.evaluate(() => notes.errors), []);
});

test("200 events per second arrive in order, and the program answers each", async (t) => {
  const { server, pages, context } = await setUp(t);
  const page = await openModule(t, context, pages.add(modulePage(server.url)));
  const code =
    "import livecode\nfor event in livecode.events(): livecode.send('seen', n=event['data']['n'])";
  const seen = await page.evaluate(async (code) => {
    session = client.run({ ...place, runtime: "python", code }, hooks);
    const began = performance.now();
    for (let n = 0; n < 400; n++) {
      await new Promise((resolve) =>
        setTimeout(resolve, Math.max(0, began + n * 5 - performance.now())),
      );
      void session.event("mousemove", { n });
    }
    while (notes.messages.length < 400) await new Promise(requestAnimationFrame);
    session.stop();
    const { exitstatus } = await session.ended;
    return {
      exitstatus,
      numbers: notes.messages.filter(({ msgtype }) => msgtype === "seen").map(({ n }) => n),
    };
  }, code);
  assert.deepEqual(seen, { exitstatus: 137, numbers: Array.from({ length: 400 }, (_, n) => n) });
});

test("two tabs follow one session, and both can send input", async (t) => {
  const { server, pages, context } = await setUp(t);
  const url = pages.add(modulePage(server.url));
  const [one, two] = [await openModule(t, context, url), await openModule(t, context, url)];
  const code = "print('hello ' + input('name? '))";
  await one.evaluate(
    (code) => void (session = client.run({ ...place, runtime: "python", code }, hooks)),
    code,
  );
  await one.waitForFunction(() => notes.output === "name? ");
  const id = await one.evaluate(() => session.id as string);
  await two.evaluate((id) => void (session = client.attach({ ...place, id }, hooks)), id);
  await two.waitForFunction(() => notes.output === "name? ");
  await two.evaluate(() => session.input("Ada\n"));
  for (const page of [one, two]) {
    await page.evaluate(() => session.ended);
    assert.equal(await page.evaluate(() => notes.output), "name? hello Ada\n");
  }
});

test("a session is picked up after a reload", async (t) => {
  const { server, pages, context } = await setUp(t);
  const page = await openModule(t, context, pages.add(modulePage(server.url)));
  assert.equal(await page.evaluate(() => client.pickUp({ ...place, key: "one" })), null);
  await page.evaluate(
    (code) => void client.run({ ...place, key: "one", runtime: "python", code }, hooks),
    COUNT,
  );
  await page.waitForFunction(() => notes.output.includes("5\n"));
  await page.reload();
  await page.waitForFunction(() => document.title === "ready");
  await page.evaluate(() => client.pickUp({ ...place, key: "one" }, hooks)?.ended);
  assert.equal(await page.evaluate(() => notes.output), COUNTED);
  // A session that the server has deleted is reported as missing.
  for (const { id } of await server.sessions())
    await fetch(`${server.url}/sessions/${id}`, { method: "DELETE" });
  const status = await page.evaluate(() =>
    client
      .pickUp({ ...place, key: "one" })
      ?.ended.catch((error: { status?: number }) => error.status),
  );
  assert.equal(status, 404);
  await page.evaluate(() => client.forget({ key: "one" }));
  assert.equal(await page.evaluate(() => client.pickUp({ ...place, key: "one" })), null);
});

test("a restart of the server loses and repeats no entry", async (t) => {
  const { server, pages, context } = await setUp(t);
  const page = await openModule(t, context, pages.add(modulePage(server.url)));
  await page.evaluate(
    (code) => void (session = client.run({ ...place, runtime: "python", code }, hooks)),
    COUNT,
  );
  await page.waitForFunction(() => notes.output.includes("5\n"));
  await server.stop();
  await page.waitForFunction(() => notes.states.includes("reconnecting"));
  await server.restart();
  await page.evaluate(() => session.ended);
  assert.equal(await page.evaluate(() => notes.output), COUNTED);
  const seqs = await page.evaluate(() => notes.messages.map(({ seq }) => seq));
  assert.deepEqual(
    seqs,
    seqs.map((_, index) => index + 1),
    "each entry arrives once, and none is missing",
  );
});

test("a session requested while the server is unreachable is created once, afterwards", async (t) => {
  const { server, pages, context } = await setUp(t);
  const proxy = await NetworkProxy.start(t, server.port);
  const page = await openModule(t, context, pages.add(modulePage(proxy.url)));
  proxy.block();
  await page.evaluate(
    () => void (session = client.run({ ...place, runtime: "python", code: "print(1)" }, hooks)),
  );
  // The first request has failed.
  await page.waitForEvent("requestfailed");
  assert.equal(await page.evaluate(() => session.state), "connecting");
  proxy.unblock();
  await page.evaluate(() => window.dispatchEvent(new Event("online")));
  await page.evaluate(() => session.ended);
  assert.equal(await page.evaluate(() => notes.output), "1\n");
  assert.equal((await server.sessions()).length, 1);
});

test("an invalid request is reported with the name of the field", async (t) => {
  const { server, pages, context } = await setUp(t);
  const page = await openModule(t, context, pages.add(modulePage(server.url)));
  const error = await page.evaluate(() =>
    client
      .run({ ...place, runtime: "cobol", code: "" }, hooks)
      .ended.catch(({ message, status, field }) => ({ message, status, field })),
  );
  assert.ok(
    (error as unknown as { message: string }).message.includes("cobol"),
    JSON.stringify(error),
  );
  assert.deepEqual({ ...error, message: "" }, { message: "", status: 422, field: "runtime" });
  assert.deepEqual(await page.evaluate(() => notes.states), ["ended"]);
});

test("events reach a program on a server that only speaks v0.1", async (t) => {
  const { server, pages, context } = await setUp(t);
  const old = await startV01Server(t, server.port);
  const page = await openModule(t, context, pages.add(modulePage(server.url)));
  const code = "import livecode\nprint('ready')\nprint(livecode.next_event()['data'])";
  await page.evaluate(
    ([server, code]) =>
      void (session = client.run(
        { server: server as string, runtime: "python", code: code as string },
        hooks,
      )),
    [old, code],
  );
  await page.waitForFunction(() => notes.output.includes("ready"));
  await page.evaluate(() => session.event("key", "x"));
  await page.evaluate(() => session.ended);
  assert.equal(await page.evaluate(() => notes.output), "ready\nx\n");
  const refused = await page.evaluate(() =>
    session.input("x").catch((error: Error) => error.message),
  );
  assert.ok(refused);
});
