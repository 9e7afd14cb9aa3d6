import assert from "node:assert/strict";
import test from "node:test";
import {
  attach,
  type LiveCodeError,
  type Message,
  pickUp,
  run,
  type State,
} from "../../src/client/index.js";
import { DOCUMENT, FakeEnvironment, runPendingCallbacks } from "./fakes.js";

const server = "http://live.example/";

/** A fake environment, and hooks that record their calls. */
function setUp() {
  const environment = new FakeEnvironment();
  const recorded = {
    messages: [] as Message[],
    states: [] as State[],
    errors: [] as LiveCodeError[],
    gaps: [] as number[][],
    busy: [] as string[],
  };
  const hooks = {
    onMessage: (message: Message) => recorded.messages.push(message),
    onState: (state: State) => recorded.states.push(state),
    onError: (error: LiveCodeError) => recorded.errors.push(error),
    onGap: (from: number, to: number) => recorded.gaps.push([from, to]),
    onBusy: ({ message }: LiveCodeError) => recorded.busy.push(message),
  };
  return { environment, recorded, hooks };
}

/** The same, with a session that is live. */
async function setUpLive() {
  const all = setUp();
  const session = run(
    { server, runtime: "python", code: "x", key: "k", environment: all.environment },
    all.hooks,
  );
  await runPendingCallbacks();
  await all.environment.request.respond(201, DOCUMENT);
  all.environment.socket.welcome();
  return { ...all, session };
}

const write = (seq: number, data = `${seq}`) => ({ msgtype: "write", file: "stdout", data, seq });

test("a session is created with a key and a token, and followed to its end", async () => {
  const { environment, recorded, hooks } = setUp();
  const session = run({ server, runtime: "python", code: "x", environment }, hooks);
  assert.equal(session.state, "connecting");
  await runPendingCallbacks();
  assert.equal(environment.request.url, "http://live.example/sessions");
  assert.match(environment.request.headers.Authorization ?? "", /^Bearer [0-9a-f]{32}$/);
  assert.match(environment.request.headers["Idempotency-Key"] ?? "", /^[0-9a-f]{32}$/);
  assert.deepEqual(JSON.parse(environment.request.body ?? ""), { runtime: "python", code: "x" });
  await environment.request.respond(201, DOCUMENT);
  assert.equal(environment.socket.url, "ws://live.example/sessions/0123/stream?after=0&notices=1");
  environment.socket.welcome();
  environment.socket.receive(
    write(1),
    { msgtype: "draw", seq: 2 },
    { msgtype: "exitstatus", exitstatus: 0, seq: 3 },
  );
  assert.equal((await session.ended).exitstatus, 0);
  assert.deepEqual(
    recorded.messages.map(({ msgtype }) => msgtype),
    ["write", "draw", "exitstatus"],
  );
  assert.deepEqual(recorded.states, ["live", "ended"]);
  assert.equal(environment.listenerCount, 0, "the session removes its listener");
  await environment.advance(60_000);
  assert.equal(environment.sockets.length, 1);
});

test("each server gets a token of its own, and the same token again later", async () => {
  const { environment } = setUp();
  const token = async (address: string) => {
    run({ server: address, runtime: "python", environment });
    await runPendingCallbacks();
    return environment.request.headers.Authorization;
  };
  const one = await token("http://one.example");
  assert.notEqual(await token("http://two.example"), one);
  assert.equal(await token("http://one.example/"), one);
});

test("after a lost connection the stream continues, and no entry is repeated", async () => {
  const { environment, recorded } = await setUpLive();
  environment.socket.receive(write(1), write(2));
  environment.socket.disconnect();
  assert.deepEqual(recorded.states, ["live", "reconnecting"]);
  await environment.advance(50);
  assert.equal(environment.socket.url, "ws://live.example/sessions/0123/stream?after=2&notices=1");
  environment.socket.welcome();
  environment.socket.receive(write(2), write(3));
  assert.deepEqual(
    recorded.messages.map(({ seq }) => seq),
    [1, 2, 3],
  );
  assert.deepEqual(recorded.states, ["live", "reconnecting", "live"]);
});

test("notices are no entries, and a wait for input has a hook of its own", async () => {
  const { environment, recorded, hooks } = setUp();
  const waits: boolean[] = [];
  const onWaiting = (isWaiting: boolean) => waits.push(isWaiting);
  run({ server, runtime: "python", environment }, { ...hooks, onWaiting });
  await runPendingCallbacks();
  await environment.request.respond(201, DOCUMENT);
  environment.socket.welcome();
  environment.socket.receive(
    { msgtype: "queued", position: 2 },
    write(1),
    { msgtype: "waiting", file: "stdin" },
    { msgtype: "waiting", file: null },
    write(2),
  );
  assert.deepEqual(waits, [true, false]);
  assert.deepEqual(
    recorded.messages.map(({ seq }) => seq),
    [1, 2],
  );
  environment.socket.disconnect();
  await environment.advance(50);
  assert.match(environment.socket.url, /after=2/);
});

test("pauses grow while the server does not respond, and end when the page wakes", async () => {
  const { environment } = await setUpLive();
  environment.socket.disconnect();
  let waited = 0;
  const tries: number[] = [];
  while (tries.length < 12) {
    const before = environment.sockets.length + environment.requests.length;
    while (environment.sockets.length + environment.requests.length === before) {
      await environment.advance(10);
      waited += 10;
    }
    tries.push(waited);
    waited = 0;
    if (environment.socket.onclose) environment.socket.disconnect();
    else await environment.request.fail();
  }
  // Each pause is half of its upper bound, because the fake random number is 0.
  assert.deepEqual(tries.slice(0, 5), [50, 100, 200, 400, 800]);
  assert.equal(tries.at(-1), 5000, "the pauses are bounded");
  const before = environment.requests.length;
  environment.wake();
  await runPendingCallbacks();
  assert.equal(environment.requests.length, before + 1, "the session retries at once");
  await environment.request.respond(200, DOCUMENT);
  environment.socket.welcome();
  environment.socket.receive(write(1));
  environment.socket.disconnect();
  await environment.advance(50);
  assert.equal(
    environment.socket.onclose === null,
    false,
    "the pause is short again after a success",
  );
});

test("after a restart of the server the session reconnects soon", async () => {
  const { environment } = await setUpLive();
  for (let n = 0; n < 4; n++) {
    environment.socket.disconnect(1012);
    const before = environment.sockets.length;
    await environment.advance(100);
    assert.equal(environment.sockets.length, before + 1);
    environment.socket.welcome();
  }
});

test("a missing session ends with an error, and is not requested again", async () => {
  const { environment, recorded, session } = await setUpLive();
  environment.socket.disconnect();
  await environment.advance(50);
  environment.socket.disconnect(); // The handshake was refused. Browsers do not tell its status.
  await environment.advance(100);
  assert.deepEqual(
    [environment.request.method, environment.request.url],
    ["GET", DOCUMENT.links.self],
  );
  await environment.request.respond(404, { detail: "there is no such session" });
  assert.equal(recorded.states.at(-1), "ended");
  await assert.rejects(session.ended, { message: "there is no such session", status: 404 });
  assert.equal(recorded.errors.length, 1);
});

test("a request to a busy server is repeated after Retry-After, with the same key", async () => {
  const { environment, recorded, hooks } = setUp();
  run({ server, runtime: "python", code: "x", environment }, hooks);
  await runPendingCallbacks();
  const key = environment.request.headers["Idempotency-Key"];
  await environment.request.respond(429, { detail: "too many" }, { "Retry-After": "60" });
  assert.deepEqual(recorded.busy, ["too many"]);
  environment.wake();
  await environment.advance(59_000);
  assert.equal(environment.requests.length, 1, "no retry happens before Retry-After");
  await environment.advance(2000);
  assert.equal(environment.requests.length, 2);
  assert.equal(environment.request.headers["Idempotency-Key"], key);
  for (let n = 0; n < 40 && recorded.errors.length === 0; n++) {
    await environment.request.respond(503, { detail: "it stops" });
    await environment.advance(20_000);
  }
  assert.deepEqual(
    [recorded.errors[0]?.status, recorded.states],
    [503, ["ended"]],
    "the session gives up in the end",
  );
});

test("a refusal that lasts for hours is reported at once", async () => {
  const { environment, recorded, hooks } = setUp();
  const session = run({ server, runtime: "python", environment }, hooks);
  await runPendingCallbacks();
  const problem = { code: "quota_exceeded", detail: "the next day begins at 0:00 UTC" };
  await environment.request.respond(429, problem, { "Retry-After": "7200" });
  await assert.rejects(session.ended, { code: "quota_exceeded", message: problem.detail });
  assert.equal(recorded.errors.length, 1);
});

test("unacknowledged messages are sent again, in order and with their ids", async () => {
  const { environment, session } = await setUpLive();
  const all = Promise.all([
    session.input("a"),
    session.event("key", 1),
    session.signal("interrupt"),
    session.input("b"),
  ]);
  const [a, key, signal] = environment.socket.sent;
  assert.deepEqual([a?.data, key?.event, signal?.signal], ["a", "key", "interrupt"]);
  assert.equal(environment.socket.sent.length, 3, "one input is in flight at a time");
  environment.socket.receive({ msgtype: "ack", id: key?.id });
  environment.socket.disconnect();
  await environment.advance(50);
  assert.equal(environment.socket.sent.length, 0, "nothing is sent before the welcome");
  environment.socket.welcome();
  assert.deepEqual(environment.socket.sent, [a, signal]);
  environment.socket.receive({ msgtype: "ack", id: a?.id }, { msgtype: "ack", id: signal?.id });
  assert.equal(environment.socket.sent.at(-1)?.data, "b");
  environment.socket.receive({ msgtype: "ack", id: environment.socket.sent.at(-1)?.id });
  await all;
  assert.equal(session.waiting, 0);
});

test("a message that a full queue refused is sent again", async () => {
  const { environment, session, recorded } = await setUpLive();
  const sent = session.input("a");
  const [message] = environment.socket.sent;
  const error = "the queue is full: 1 byte waits for the program";
  environment.socket.receive({ msgtype: "error", code: "queue_full", error, msg: message });
  assert.equal(environment.socket.sent.length, 1);
  await environment.advance(200);
  assert.deepEqual(environment.socket.sent[1], message);
  environment.socket.receive({ msgtype: "ack", id: message?.id });
  await sent;
  assert.deepEqual(recorded.errors, []);
});

test("a server without error codes reports a full queue by its text", async () => {
  const { environment, session, recorded } = await setUpLive();
  const sent = session.input("a");
  const [message] = environment.socket.sent;
  const error = "the queue is full: 1 byte waits; send it again later";
  environment.socket.receive({ msgtype: "error", error, msg: message });
  assert.equal(environment.socket.sent.length, 1);
  await environment.advance(200);
  assert.deepEqual(environment.socket.sent[1], message);
  environment.socket.receive({ msgtype: "ack", id: message?.id });
  await sent;
  const refused = session.event("key");
  environment.socket.receive({ msgtype: "error", error: "no", msg: environment.socket.sent[2] });
  await assert.rejects(refused, { message: "no", code: undefined });
  assert.equal(recorded.errors.length, 1);
});

test("a refusal with a code rejects the message, whatever its text says", async () => {
  const { environment, session, recorded } = await setUpLive();
  const refused = session.event("key");
  const [message] = environment.socket.sent;
  const error = "the program has ended; send it again later";
  environment.socket.receive({ msgtype: "error", code: "program_ended", error, msg: message });
  await assert.rejects(refused, { message: error, code: "program_ended" });
  assert.deepEqual(
    recorded.errors.map(({ code }) => code),
    ["program_ended"],
  );
  await environment.advance(200);
  assert.equal(environment.socket.sent.length, 1, "the message is not sent again");
});

test("an error has the code and the field of its problem document", async () => {
  const { environment, recorded, hooks } = setUp();
  const session = run({ server, runtime: "cobol", environment }, hooks);
  await runPendingCallbacks();
  const problem = { detail: "no such runtime", field: "runtime", code: "invalid_field" };
  await environment.request.respond(422, problem);
  await assert.rejects(session.ended, { status: 422, field: "runtime", code: "invalid_field" });
  assert.equal(recorded.errors[0]?.code, "invalid_field");
});

test("a gap is reported in its place", async () => {
  const { environment, recorded } = await setUpLive();
  environment.socket.receive(write(1), { msgtype: "gap", from: 2, to: 5 }, write(6));
  assert.deepEqual(recorded.gaps, [[2, 5]]);
  assert.deepEqual(
    recorded.messages.map(({ msgtype }) => msgtype),
    ["write", "gap", "write"],
  );
  environment.socket.receive({ msgtype: "gap", from: 7, to: 9 });
  environment.socket.disconnect();
  await environment.advance(50);
  assert.match(environment.socket.url, /after=9&notices=1$/);
});

test("a connection that is lost without a close is detected", async () => {
  const { environment } = await setUpLive();
  await environment.advance(31_000);
  assert.deepEqual(environment.sockets[0]?.sent, [{ msgtype: "ping" }]);
  assert.equal(environment.sockets.length, 2, "without a reply another connection is made");
  assert.ok(environment.sockets[0]?.isClosed);
  environment.socket.welcome();
  for (let n = 0; n < 5; n++) {
    await environment.advance(25_000);
    environment.socket.receive({ msgtype: "pong" });
  }
  assert.equal(environment.sockets.length, 2, "the connection is kept while the server responds");
  environment.wake();
  assert.equal(environment.socket.sent.at(-1)?.msgtype, "ping");
  await environment.advance(3500);
  assert.equal(environment.sockets.length, 3, "after the page wakes the timeout is short");
  await environment.advance(11_000);
  assert.ok(
    environment.sockets[2]?.isClosed,
    "a connection that is never established is abandoned",
  );
});

test("an exception in a hook does not disturb the session", async () => {
  const environment = new FakeEnvironment();
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
      throw new Error("an error of the page");
    };
    const session = run({ server, runtime: "python", environment }, { onMessage });
    await runPendingCallbacks();
    await environment.request.respond(201, DOCUMENT);
    environment.socket.welcome();
    environment.socket.receive(write(1), { msgtype: "exitstatus", exitstatus: 0, seq: 2 });
    await session.ended;
    assert.deepEqual([count, thrown.length], [2, 2]);
  } finally {
    globalThis.queueMicrotask = original;
  }
});

test("a session is removed even if its id was not known yet", async () => {
  const { environment, hooks, recorded } = setUp();
  const session = run({ server, runtime: "python", environment }, hooks);
  await runPendingCallbacks();
  session.remove();
  assert.deepEqual(recorded.states, ["ended"]);
  await environment.requests[0]?.respond(201, DOCUMENT);
  assert.deepEqual(
    [environment.request.method, environment.request.url],
    ["DELETE", DOCUMENT.links.self],
  );
  assert.equal(environment.sockets.length, 0);
});

test("a session is remembered only for its tab and its server", async () => {
  const { environment, hooks } = await setUpLive();
  const place = { environment, key: "k" };
  assert.equal(pickUp({ ...place, server: "http://other.example" }), null);
  assert.equal(pickUp({ ...place, server, key: "other" }), null);
  assert.ok(pickUp({ ...place, server }, hooks));
  await runPendingCallbacks();
  assert.deepEqual(
    [environment.request.method, environment.request.url],
    ["GET", DOCUMENT.links.self],
  );
});

test("a v0.1 server is recognised by its 404, or by its websocket if it lacks CORS", async () => {
  for (const kind of ["404", "no CORS"]) {
    const { environment, recorded, hooks } = setUp();
    const session = run(
      { server, runtime: "python", code: "x", args: ["not of v0.1"], environment },
      hooks,
    );
    await runPendingCallbacks();
    if (kind === "404") await environment.request.respond(404);
    else {
      await environment.request.fail();
      environment.socket.welcome();
      await runPendingCallbacks();
      await environment.request.fail();
    }
    assert.equal(environment.socket.url, "ws://live.example/livecode");
    environment.socket.welcome();
    assert.deepEqual(
      environment.socket.sent,
      [{ msgtype: "exec", runtime: "python", code: "x" }],
      kind,
    );
    environment.socket.receive(
      { msgtype: "write", file: "stdout", data: "1" },
      { msgtype: "write", file: "stdout", data: "2" },
    );
    assert.equal(recorded.messages.length, 2);
    environment.socket.disconnect();
    await assert.rejects(session.ended, /cannot resume a session/);
  }
});

test("a server that is unreachable for a moment is not taken for a v0.1 server", async () => {
  const { environment, recorded, hooks } = setUp();
  run({ server, runtime: "python", code: "x", environment }, hooks);
  await runPendingCallbacks();
  const key = environment.request.headers["Idempotency-Key"];
  await environment.request.fail();
  environment.socket.disconnect();
  await runPendingCallbacks();
  assert.deepEqual(recorded.states, []);
  await environment.advance(50);
  await environment.request.fail();
  environment.socket.welcome(); // The server is reachable again.
  await runPendingCallbacks();
  assert.equal(environment.request.headers["Idempotency-Key"], key);
  await environment.request.respond(201, DOCUMENT);
  assert.match(environment.socket.url, /sessions\/0123\/stream/);
});

test("a page loaded over TLS uses TLS only, and a server's address may have a path", async () => {
  const { environment } = setUp();
  attach({ server: "https://live.example/sub/", id: "a/b", after: 4, environment });
  await runPendingCallbacks();
  assert.equal(environment.request.url, "https://live.example/sub/sessions/a%2Fb");
  await environment.request.respond(200, DOCUMENT);
  assert.equal(environment.socket.url, "wss://live.example/sessions/0123/stream?after=4&notices=1");
});
