/** How the client follows a session by a link, and what the page makes of links. */

import assert from "node:assert/strict";
import test from "node:test";
import { attach, type LiveCodeError } from "../../src/client/index.js";
import { Server } from "../../src/client/server.js";
import { fromFragment, toFragment } from "../../src/page/share.js";
import { describeExpiry } from "../../src/page/shares.js";
import { DOCUMENT, FakeEnvironment, runPendingCallbacks } from "./fakes.js";
import en from "../../src/words/en.js";
import { setWords } from "../../src/words/words.js";

setWords(en);

const server = "http://live.example";
const secret = `livecode_share_${"0".repeat(48)}`;
const shared = (ticket: string, rights = "watch") => ({
  ...DOCUMENT,
  rights,
  links: { ...DOCUMENT.links, stream: `${DOCUMENT.links.stream}?ticket=${ticket}` },
});
const gone = { code: "no_such_share", detail: "this link opens nothing" };

async function start() {
  const environment = new FakeEnvironment();
  const errors: LiveCodeError[] = [];
  const onError = (error: LiveCodeError) => errors.push(error);
  const session = attach({ server, share: secret, environment }, { onError });
  await runPendingCallbacks();
  return { environment, errors, session };
}

test("a secret is redeemed by a POST, and is all that the caller sends", async () => {
  const { environment, session } = await start();
  const { url, method, headers, body } = environment.request;
  assert.deepEqual([url, method], [`${server}/shares/redeem`, "POST"]);
  assert.deepEqual(headers, { "Content-Type": "application/json" });
  assert.deepEqual(JSON.parse(String(body)), { secret });
  assert.equal(session.rights, undefined);
  await environment.request.respond(200, shared("t1", "join"));
  assert.equal(session.rights, "join");
  assert.match(environment.socket.url, /stream\?ticket=t1&after=0&notices=1$/);
  environment.socket.welcome();
  assert.equal(session.state, "live");
  assert.equal(environment.lasting.size, 0, "no token is made for it");
});

test("a ticket is renewed by redeeming again, from the last entry on", async () => {
  const { environment, session } = await start();
  await environment.request.respond(200, shared("t1"));
  environment.socket.welcome();
  environment.socket.receive({ msgtype: "write", file: "stdout", data: "1", seq: 1 });
  environment.socket.disconnect();
  await environment.advance(50);
  assert.match(environment.socket.url, /ticket=t1&after=1/);
  environment.socket.disconnect(); // The handshake was refused.
  await environment.advance(100);
  assert.equal(environment.request.url, `${server}/shares/redeem`);
  await environment.request.respond(200, shared("t2"));
  assert.match(environment.socket.url, /ticket=t2&after=1/);
  environment.socket.welcome();
  assert.equal(session.state, "live");
});

test("a share that was revoked ends the session with its code", async () => {
  const { environment, session, errors } = await start();
  await environment.request.respond(200, shared("t1"));
  environment.socket.welcome();
  environment.socket.disconnect(1008);
  await environment.advance(1000);
  await environment.request.respond(404, gone);
  await assert.rejects(session.ended, { code: "no_such_share", status: 404 });
  assert.equal(session.state, "ended");
  assert.equal(errors.length, 1);
  assert.equal(environment.requests.length, 2);
});

test("the session of a share is never removed", async () => {
  const { environment, session } = await start();
  await environment.request.respond(200, shared("t1"));
  session.remove();
  assert.equal(session.state, "ended");
  assert.deepEqual(
    environment.requests.map(({ method }) => method),
    ["POST"],
  );
});

test("a resource counts as deleted only if the server says so", async () => {
  const environment = new FakeEnvironment();
  const remove = async (code: string | undefined, status: number, body?: object) => {
    const removed = new Server(server, environment).remove(`${server}/sessions/0123`, code);
    // The rejection is handled before it happens.
    const settled = removed.then(
      () => "deleted",
      (error: LiveCodeError) => error.message,
    );
    await environment.request.respond(status, body);
    return settled;
  };
  const noSession = { code: "no_such_session", detail: "there is no such session" };
  assert.equal(await remove(undefined, 204), "deleted");
  assert.equal(await remove(undefined, 404, noSession), "deleted");
  assert.equal(await remove("no_such_share", 404, gone), "deleted");
  assert.equal(await remove("no_such_share", 404, noSession), noSession.detail);
  assert.equal(await remove(undefined, 404), "the server responded with 404");
  assert.equal(await remove(undefined, 200), "the server responded with 200");
  const tooMany = { code: "too_many_requests", detail: "try again in 10 seconds" };
  assert.equal(await remove(undefined, 429, tooMany), tooMany.detail);
});

test("a link has the secret and the program", async () => {
  const program = { runtime: "python", code: "print('ü')" };
  const fragment = await toFragment({ ...program, share: secret });
  assert.match(fragment, /^#share=livecode_share_0+&runtime=python&code=/);
  assert.deepEqual(await fromFragment(fragment), { ...program, share: secret });
  assert.deepEqual(await fromFragment(`#share=${secret}`), { share: secret });
});

test("the end of a link is told in words", () => {
  const expires = "2026-03-01T10:20:30.000Z";
  assert.equal(describeExpiry(expires, "en-GB", "UTC"), "until 1 Mar 2026, 10:20");
});
