import assert from "node:assert/strict";
import test from "node:test";
import { attach, type LiveCodeError, type Message, pickUp, run, type State } from "../../src/client/index.js";
import { DOCUMENT, settle, World } from "./fakes.js";

const server = "http://live.example/";

/** A session that is told all, in a world of its own. */
function begin() {
  const world = new World();
  const told = { messages: [] as Message[], states: [] as State[], errors: [] as LiveCodeError[], gaps: [] as number[][] };
  const hooks = {
    onMessage: (message: Message) => told.messages.push(message),
    onState: (state: State) => told.states.push(state),
    onError: (error: LiveCodeError) => told.errors.push(error),
    onGap: (from: number, to: number) => told.gaps.push([from, to]),
  };
  return { world, told, hooks };
}

/** The same, live. */
async function live() {
  const all = begin();
  const session = run({ server, runtime: "python", code: "x", key: "k", environment: all.world }, all.hooks);
  await settle();
  await all.world.request.answer(201, DOCUMENT);
  all.world.wire.welcome();
  return { ...all, session };
}

const write = (seq: number, data = `${seq}`) => ({ msgtype: "write", file: "stdout", data, seq });

test("a session is made with a key and a token, and followed to its end", async () => {
  const { world, told, hooks } = begin();
  const session = run({ server, runtime: "python", code: "x", environment: world }, hooks);
  assert.equal(session.state, "connecting");
  await settle();
  assert.equal(world.request.url, "http://live.example/sessions");
  assert.match(world.request.headers.Authorization ?? "", /^Bearer [0-9a-f]{32}$/);
  assert.match(world.request.headers["Idempotency-Key"] ?? "", /^[0-9a-f]{32}$/);
  assert.deepEqual(JSON.parse(world.request.body ?? ""), { runtime: "python", code: "x" });
  await world.request.answer(201, DOCUMENT);
  assert.equal(world.wire.url, "ws://live.example/sessions/0123/stream?after=0");
  world.wire.welcome();
  world.wire.say(write(1), { msgtype: "draw", seq: 2 }, { msgtype: "exitstatus", exitstatus: 0, seq: 3 });
  assert.equal((await session.ended).exitstatus, 0);
  assert.deepEqual(told.messages.map(({ msgtype }) => msgtype), ["write", "draw", "exitstatus"]);
  assert.deepEqual(told.states, ["live", "ended"]);
  assert.equal(world.listeners, 0, "it listens no more");
  await world.pass(60_000);
  assert.equal(world.wires.length, 1);
});

test("each server knows us by another token, and by the same one next time", async () => {
  const { world } = begin();
  const token = async (address: string) => {
    run({ server: address, runtime: "python", environment: world });
    await settle();
    return world.request.headers.Authorization;
  };
  const one = await token("http://one.example");
  assert.notEqual(await token("http://two.example"), one);
  assert.equal(await token("http://one.example/"), one);
});

test("a lost connection goes on after the last entry, and an entry counts once", async () => {
  const { world, told } = await live();
  world.wire.say(write(1), write(2));
  world.wire.cut();
  assert.deepEqual(told.states, ["live", "reconnecting"]);
  await world.pass(50);
  assert.equal(world.wire.url, "ws://live.example/sessions/0123/stream?after=2");
  world.wire.welcome();
  world.wire.say(write(2), write(3));
  assert.deepEqual(told.messages.map(({ seq }) => seq), [1, 2, 3]);
  assert.deepEqual(told.states, ["live", "reconnecting", "live"]);
});

test("pauses grow while nobody answers, and end when the page wakes", async () => {
  const { world } = await live();
  world.wire.cut();
  let waited = 0;
  const tries: number[] = [];
  while (tries.length < 12) {
    const before = world.wires.length + world.requests.length;
    while (world.wires.length + world.requests.length === before) {
      await world.pass(10);
      waited += 10;
    }
    tries.push(waited);
    waited = 0;
    if (world.wire.onclose) world.wire.cut();
    else await world.request.fail();
  }
  // Half of what has grown, since this world's randomness is 0.
  assert.deepEqual(tries.slice(0, 5), [50, 100, 200, 400, 800]);
  assert.equal(tries.at(-1), 5000, "they are bounded");
  const before = world.requests.length;
  world.wake();
  await settle();
  assert.equal(world.requests.length, before + 1, "at once");
  await world.request.answer(200, DOCUMENT);
  world.wire.welcome();
  world.wire.say(write(1));
  world.wire.cut();
  await world.pass(50);
  assert.equal(world.wire.onclose === null, false, "short again after a success");
});

test("a server that restarts is asked again soon", async () => {
  const { world } = await live();
  for (let n = 0; n < 4; n++) {
    world.wire.cut(1012);
    const before = world.wires.length;
    await world.pass(100);
    assert.equal(world.wires.length, before + 1);
    world.wire.welcome();
  }
});

test("a session that is gone is said to be, and not asked for again", async () => {
  const { world, told, session } = await live();
  world.wire.cut();
  await world.pass(50);
  world.wire.cut(); // refused: the handshake's status is nobody's to see
  await world.pass(100);
  assert.deepEqual([world.request.method, world.request.url], ["GET", DOCUMENT.links.self]);
  await world.request.answer(404, { detail: "there is no such session" });
  assert.equal(told.states.at(-1), "ended");
  await assert.rejects(session.ended, { message: "there is no such session", status: 404 });
  assert.equal(told.errors.length, 1);
});

test("a busy server is asked when it says, with the same key", async () => {
  const { world, told, hooks } = begin();
  run({ server, runtime: "python", code: "x", environment: world }, hooks);
  await settle();
  const key = world.request.headers["Idempotency-Key"];
  await world.request.answer(429, { detail: "too many" }, { "Retry-After": "60" });
  world.wake();
  await world.pass(59_000);
  assert.equal(world.requests.length, 1, "not before");
  await world.pass(2000);
  assert.equal(world.requests.length, 2);
  assert.equal(world.request.headers["Idempotency-Key"], key);
  for (let n = 0; n < 40 && told.errors.length === 0; n++) {
    await world.request.answer(503, { detail: "it stops" });
    await world.pass(20_000);
  }
  assert.deepEqual([told.errors[0]?.status, told.states], [503, ["ended"]], "not for ever");
});

test("what was not acknowledged is sent again, in its order, with its id", async () => {
  const { world, session } = await live();
  const all = Promise.all([session.input("a"), session.event("key", 1), session.signal("interrupt"), session.input("b")]);
  const [a, key, signal] = world.wire.sent;
  assert.deepEqual([a?.data, key?.event, signal?.signal], ["a", "key", "interrupt"]);
  assert.equal(world.wire.sent.length, 3, "one input at a time");
  world.wire.say({ msgtype: "ack", id: key?.id });
  world.wire.cut();
  await world.pass(50);
  assert.equal(world.wire.sent.length, 0, "not before the welcome");
  world.wire.welcome();
  assert.deepEqual(world.wire.sent, [a, signal]);
  world.wire.say({ msgtype: "ack", id: a?.id }, { msgtype: "ack", id: signal?.id });
  assert.equal(world.wire.sent.at(-1)?.data, "b");
  world.wire.say({ msgtype: "ack", id: world.wire.sent.at(-1)?.id });
  await all;
  assert.equal(session.waiting, 0);
});

test("a queue that is full delays what is sent, and a refusal is said", async () => {
  const { world, session, told } = await live();
  const sent = session.input("a");
  const [message] = world.wire.sent;
  world.wire.say({ msgtype: "error", error: "the queue is full: 1 byte waits; send it again later", msg: message });
  assert.equal(world.wire.sent.length, 1);
  await world.pass(200);
  assert.deepEqual(world.wire.sent[1], message);
  world.wire.say({ msgtype: "ack", id: message?.id });
  await sent;
  const refused = session.event("key");
  world.wire.say({ msgtype: "error", error: "no", msg: world.wire.sent[2] });
  await assert.rejects(refused, { message: "no" });
  assert.equal(told.errors.length, 1);
});

test("a gap is told in its place", async () => {
  const { world, told } = await live();
  world.wire.say(write(1), { msgtype: "gap", from: 2, to: 5 }, write(6));
  assert.deepEqual(told.gaps, [[2, 5]]);
  assert.deepEqual(told.messages.map(({ msgtype }) => msgtype), ["write", "gap", "write"]);
  world.wire.say({ msgtype: "gap", from: 7, to: 9 });
  world.wire.cut();
  await world.pass(50);
  assert.match(world.wire.url, /after=9$/);
});

test("a connection that has died in silence is found out", async () => {
  const { world } = await live();
  await world.pass(31_000);
  assert.deepEqual(world.wires[0]?.sent, [{ msgtype: "ping" }]);
  assert.equal(world.wires.length, 2, "no answer: another one");
  assert.ok(world.wires[0]?.isClosed);
  world.wire.welcome();
  for (let n = 0; n < 5; n++) {
    await world.pass(25_000);
    world.wire.say({ msgtype: "pong" });
  }
  assert.equal(world.wires.length, 2, "while it answers it is kept");
  world.wake();
  assert.equal(world.wire.sent.at(-1)?.msgtype, "ping");
  await world.pass(3500);
  assert.equal(world.wires.length, 3, "a page that wakes does not wait for long");
  await world.pass(11_000);
  assert.ok(world.wires[2]?.isClosed, "a connection that does not come about is given up");
});

test("a hook that throws ends nothing", async () => {
  const world = new World();
  const thrown: unknown[] = [];
  const original = globalThis.queueMicrotask;
  globalThis.queueMicrotask = (callback) => {
    try {
      callback();
    } catch (error) {
      thrown.push(error);
    }
  };
  try {
    let count = 0;
    const onMessage = () => {
      count++;
      throw new Error("the page's own");
    };
    const session = run({ server, runtime: "python", environment: world }, { onMessage });
    await settle();
    await world.request.answer(201, DOCUMENT);
    world.wire.welcome();
    world.wire.say(write(1), { msgtype: "exitstatus", exitstatus: 0, seq: 2 });
    await session.ended;
    assert.deepEqual([count, thrown.length], [2, 2]);
  } finally {
    globalThis.queueMicrotask = original;
  }
});

test("a session is removed even where it was not known yet", async () => {
  const { world, hooks, told } = begin();
  const session = run({ server, runtime: "python", environment: world }, hooks);
  await settle();
  session.remove();
  assert.deepEqual(told.states, ["ended"]);
  await world.requests[0]?.answer(201, DOCUMENT);
  assert.deepEqual([world.request.method, world.request.url], ["DELETE", DOCUMENT.links.self]);
  assert.equal(world.wires.length, 0);
});

test("a session is remembered for its tab, and its server alone", async () => {
  const { world, hooks } = await live();
  const place = { environment: world, key: "k" };
  assert.equal(pickUp({ ...place, server: "http://other.example" }), null);
  assert.equal(pickUp({ ...place, server, key: "other" }), null);
  assert.ok(pickUp({ ...place, server }, hooks));
  await settle();
  assert.deepEqual([world.request.method, world.request.url], ["GET", DOCUMENT.links.self]);
});

test("an old server is told by its 404, and by a websocket where pages may not ask", async () => {
  for (const kind of ["404", "no CORS"]) {
    const { world, told, hooks } = begin();
    const session = run({ server, runtime: "python", code: "x", args: ["not of v0.1"], environment: world }, hooks);
    await settle();
    if (kind === "404") await world.request.answer(404);
    else {
      await world.request.fail();
      world.wire.welcome();
      await settle();
      await world.request.fail();
    }
    assert.equal(world.wire.url, "ws://live.example/livecode");
    world.wire.welcome();
    assert.deepEqual(world.wire.sent, [{ msgtype: "exec", runtime: "python", code: "x" }], kind);
    world.wire.say({ msgtype: "write", file: "stdout", data: "1" }, { msgtype: "write", file: "stdout", data: "2" });
    assert.equal(told.messages.length, 2);
    world.wire.cut();
    await assert.rejects(session.ended, /cannot take it up again/);
  }
});

test("a server that cannot be reached for a moment is not taken for an old one", async () => {
  const { world, told, hooks } = begin();
  run({ server, runtime: "python", code: "x", environment: world }, hooks);
  await settle();
  const key = world.request.headers["Idempotency-Key"];
  await world.request.fail();
  world.wire.cut();
  await settle();
  assert.deepEqual(told.states, []);
  await world.pass(50);
  await world.request.fail();
  world.wire.welcome(); // it is back
  await settle();
  assert.equal(world.request.headers["Idempotency-Key"], key);
  await world.request.answer(201, DOCUMENT);
  assert.match(world.wire.url, /sessions\/0123\/stream/);
});

test("a page that came by TLS opens nothing else, and an address may have a path", async () => {
  const { world } = begin();
  attach({ server: "https://live.example/sub/", id: "a/b", after: 4, environment: world });
  await settle();
  assert.equal(world.request.url, "https://live.example/sub/sessions/a%2Fb");
  await world.request.answer(200, DOCUMENT);
  assert.equal(world.wire.url, "wss://live.example/sessions/0123/stream?after=4");
});
