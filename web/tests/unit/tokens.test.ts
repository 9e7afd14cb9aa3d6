/** How the client comes by a token and keeps streams open with it. */

import assert from "node:assert/strict";
import test from "node:test";
import {
  attach,
  LiveCodeError,
  type Program,
  run,
  type TokenSource,
} from "../../src/client/index.js";
import { Server } from "../../src/client/server.js";
import { parseToken } from "../../src/client/token-url.js";
import { DOCUMENT, FakeEnvironment, runPendingCallbacks } from "./fakes.js";

const server = "http://live.example";
const withTicket = (ticket: string) => ({
  ...DOCUMENT,
  links: { ...DOCUMENT.links, stream: `${DOCUMENT.links.stream}?ticket=${ticket}` },
});
const unauthorized = { code: "unauthorized", detail: "this token has ended" };

async function start(token: TokenSource, program: Partial<Program> = {}) {
  const environment = new FakeEnvironment();
  const errors: LiveCodeError[] = [];
  const onError = (error: LiveCodeError) => errors.push(error);
  const session = run({ server, runtime: "python", ...program, token, environment }, { onError });
  await runPendingCallbacks();
  return { environment, errors, session };
}

/** A function for tokens that counts its calls and records what was refused. */
function countingSource() {
  const refused: (string | undefined)[] = [];
  const source = async (token?: string) => `token-${refused.push(token)}`;
  return { source, refused };
}

const authorizations = ({ requests }: FakeEnvironment) =>
  requests.map(({ headers }) => headers.Authorization);

test("a given token is sent with each request, and never stored", async () => {
  const { environment } = await start(" livecode_1 \n");
  assert.deepEqual(authorizations(environment), ["Bearer livecode_1"]);
  await environment.request.respond(201, withTicket("t1"));
  assert.match(environment.socket.url, /stream\?ticket=t1&after=0&notices=1$/);
  assert.equal(environment.lasting.size, 0);
  assert.throws(() => run({ server, runtime: "python", token: "a b", environment }), /visible/);
});

test("a token that was refused is replaced once", async () => {
  const { source, refused } = countingSource();
  const { environment, session } = await start(source);
  await environment.request.respond(401, unauthorized);
  assert.deepEqual(authorizations(environment), ["Bearer token-1", "Bearer token-2"]);
  assert.deepEqual(refused, [undefined, "token-1"]);
  await environment.request.respond(401, unauthorized);
  await assert.rejects(session.ended, { code: "unauthorized", status: 401 });
  assert.equal(environment.requests.length, 2, "the function is asked once");
  // The next session asks again.
  const next = attach({ server, id: "0123", token: source, environment });
  await runPendingCallbacks();
  await environment.request.respond(401, unauthorized);
  assert.deepEqual(refused, [undefined, "token-1", "token-2"]);
  await environment.request.respond(200, DOCUMENT);
  environment.socket.welcome();
  assert.equal(next.state, "live");
});

test("a fixed token that was refused is an error at once", async () => {
  const { environment, session, errors } = await start("livecode_1");
  await environment.request.respond(401, unauthorized);
  await assert.rejects(session.ended, { message: "this token has ended", code: "unauthorized" });
  assert.equal(environment.requests.length, 1);
  assert.equal(errors.length, 1);
});

test("sessions of a page share a token and its renewal", async () => {
  const { source, refused } = countingSource();
  const environment = new FakeEnvironment();
  for (const id of ["a", "b", "c"]) attach({ server, id, token: source, environment });
  await runPendingCallbacks();
  assert.deepEqual(refused, [undefined]);
  const first = [...environment.requests];
  for (const request of first) await request.respond(401, unauthorized);
  assert.deepEqual(refused, [undefined, "token-1"]);
  assert.deepEqual(authorizations(environment).slice(3), Array(3).fill("Bearer token-2"));
});

test("a link that has expired is replaced by a new one", async () => {
  const { environment, session } = await start("livecode_1");
  await environment.request.respond(201, withTicket("t1"));
  environment.socket.welcome();
  environment.socket.disconnect();
  await environment.advance(50);
  assert.match(environment.socket.url, /ticket=t1/);
  environment.socket.disconnect(); // The handshake was refused.
  await environment.advance(100);
  assert.equal(environment.request.url, DOCUMENT.links.self);
  await environment.request.respond(200, withTicket("t2"));
  assert.match(environment.socket.url, /ticket=t2/);
  environment.socket.welcome();
  assert.equal(session.state, "live");
});

test("after a close for a violation of the policy the session is asked for first", async () => {
  const { source, refused } = countingSource();
  const { environment, session } = await start(source);
  await environment.request.respond(201, withTicket("t1"));
  environment.socket.welcome();
  environment.socket.disconnect(1008);
  await environment.advance(50);
  assert.equal(environment.sockets.length, 1, "the old link is not tried again");
  await environment.request.respond(401, unauthorized);
  assert.deepEqual(refused, [undefined, "token-1"]);
  await environment.request.respond(200, withTicket("t2"));
  environment.socket.welcome();
  assert.equal(session.state, "live");
});

test("a function that fails ends the session, but for a lost network", async () => {
  const failing = await start(() => Promise.reject(new Error("please log in")));
  await assert.rejects(failing.session.ended, {
    message: "no token could be fetched: please log in",
    code: "token_unavailable",
  });
  const refusing = await start(() => Promise.reject(new LiveCodeError("no", 403)));
  await assert.rejects(refusing.session.ended, { status: 403, code: "token_unavailable" });
  const silly = await start(() => "" as string);
  await assert.rejects(silly.session.ended, /visible ASCII/);
  for (const reason of [new TypeError("Failed to fetch"), new LiveCodeError("busy", 503)]) {
    let isDown = true;
    const { environment, errors } = await start(() => {
      if (isDown) throw reason;
      return "livecode_1";
    });
    await environment.advance(1000);
    assert.deepEqual([environment.requests.length, errors], [0, []]);
    isDown = false;
    await environment.advance(10_000);
    assert.deepEqual(authorizations(environment), ["Bearer livecode_1"]);
  }
});

test("the websocket of v0.1 gets a ticket if the caller was given a token", async () => {
  const { environment } = await start("livecode_1", { code: "x" });
  await environment.request.respond(404);
  assert.deepEqual(
    [environment.request.method, environment.request.url],
    ["POST", `${server}/tickets`],
  );
  await environment.request.respond(201, { ticket: "a.b", expires: "" });
  assert.equal(environment.socket.url, "ws://live.example/livecode?ticket=a.b");
  // A server that makes no tickets needs none.
  const other = await start("livecode_1", { code: "x" });
  await other.environment.request.respond(404);
  await other.environment.request.respond(404);
  assert.equal(other.environment.socket.url, "ws://live.example/livecode");
});

test("a page that ends sends its last request at once", async () => {
  const { environment, session } = await start("livecode_1");
  await environment.request.respond(201, DOCUMENT);
  session.remove();
  assert.equal(environment.request.method, "DELETE");
});

test("a site answers a token as text or as JSON", () => {
  for (const text of ["livecode_1", '"livecode_1"', '{"token": "livecode_1", "expires": 3}']) {
    assert.equal(parseToken(text), "livecode_1");
  }
  assert.equal(parseToken("{}"), "");
});

/** Starts a session on the server's own page, with what its browser has stored. */
async function startOnOwnPage(stored: [string, string][] = []) {
  const environment = new FakeEnvironment();
  environment.base = `${server}/`;
  for (const [key, value] of stored) environment.lasting.setItem(key, value);
  const session = run({ server, runtime: "python", environment });
  await runPendingCallbacks();
  return { environment, session };
}

test("on the server's own page a cookie names a guest, and no token is made", async () => {
  const { environment } = await startOnOwnPage();
  assert.deepEqual(authorizations(environment), [undefined]);
  assert.equal(environment.request.headers["X-Requested-With"], "livecode");
  await environment.request.respond(201, DOCUMENT);
  assert.equal(environment.socket.url, `${DOCUMENT.links.stream}?after=0&notices=1`);
  assert.equal(environment.lasting.size, 0);
  // A page of another origin would have to ask before it sends the header.
  const other = await start("livecode_1");
  assert.equal(other.environment.request.headers["X-Requested-With"], undefined);
});

test("a guest whose browser keeps no cookie is named by a token", async () => {
  const { environment } = await startOnOwnPage();
  const { headers } = environment.request;
  await environment.request.respond(400, { code: "token_required", detail: "no owner" });
  const [first, second] = authorizations(environment);
  assert.equal(first, undefined);
  assert.match(second ?? "", /^Bearer [0-9a-f]{32}$/);
  assert.equal(environment.request.headers["Idempotency-Key"], headers["Idempotency-Key"]);
  assert.equal(environment.lasting.getItem(`livecode-token:${server}`), second?.slice(7));
});

test("a token that an earlier page has stored is used until it has no sessions", async () => {
  const key = `livecode-token:${server}`;
  const { environment } = await startOnOwnPage([[key, "0a"]]);
  assert.deepEqual(authorizations(environment), ["Bearer 0a"]);
  const own = new Server(server, environment);
  const forget = async (status: number, list: object) => {
    const forgotten = own.forgetUnusedToken();
    await runPendingCallbacks();
    assert.equal(environment.request.url, `${server}/sessions?limit=1`);
    await environment.request.respond(status, list);
    await forgotten;
    return environment.lasting.getItem(key);
  };
  assert.equal(await forget(200, [DOCUMENT]), "0a");
  assert.equal(await forget(503, {}), "0a");
  assert.equal(await forget(200, []), null);
  void own.get("/sessions");
  await runPendingCallbacks();
  assert.equal(environment.request.headers.Authorization, undefined);
});
