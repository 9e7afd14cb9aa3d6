import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { gzipSync } from "node:zlib";
import { strFromU8, unzipSync, zipSync } from "fflate";
import { asProgram, asV01 } from "../../src/classic/session.js";
import { textOf } from "../../src/client/index.js";
import { describeEnd } from "../../src/editor/describe-end.js";
import { languageOf } from "../../src/editor/languages.js";
import { canRead } from "../../src/editor/session/can-read.js";
import { phaseOf } from "../../src/editor/session/phase.js";
import {
  downloadNameOf,
  pack as packArchive,
  pathOf,
  unpack as unpackArchive,
  UploadError,
} from "../../src/page/programs/archive.js";
import { type Files, freeName, isDrasticChange, isFileName } from "../../src/page/programs/files.js";
import { describeQuotas } from "../../src/page/quota.js";
import { fromFragment, pack, sharedOf, toFragment, unpack } from "../../src/page/share.js";
import { frequency } from "../../src/dom/music.js";
import { Outbox, splitText } from "../../src/client/outbox.js";
import en from "../../src/words/en.js";
import { setWords } from "../../src/words/words.js";

setWords(en);

/** Whether an error tells the user something. */
const says = (pattern: RegExp) => (error: UploadError) => pattern.test(error.describe(en));

const built = new URL("../../../dist/", import.meta.url);
const gzipped = (name: string) => gzipSync(readFileSync(new URL(name, built)), { level: 9 }).length;

test("the built files are small", (t) => {
  // The files that a browser loads for an editor of Python: the editor and all its imports.
  const parts = (name: string): string[] => {
    const text = readFileSync(new URL(name, built), "utf8");
    const named = [...text.matchAll(/from\s*["'`]\.\/([\w-]+\.js)["'`]/g)].map(
      (match) => match[1] as string,
    );
    return [name, ...named.flatMap(parts)];
  };
  const editor = [
    ...new Set([...parts("livecode-editor.js"), ...parts("livecode-editor-python.js")]),
    "livecode-words-en.js",
  ];
  assert.ok(editor.length > 2, editor.join());
  // The words, which the page shares with its editor, count for the editor.
  const page = ["page.html", "livecode-page.css", ...new Set(parts("livecode-page.js"))];
  for (const [names, max] of [
    [["livecode.js"], 9 * 1024],
    [["livecode-client.js"], 6144],
    [editor, 170 * 1024],
    [page, 25 * 1024],
    [["livecode-page-dialog.js"], 16 * 1024],
    [["embed.html", "livecode-embed.css", "livecode-embed.js"], 4 * 1024],
    [["livecode-words-en.js"], 6 * 1024],
    [["livecode-words-de.js"], 7 * 1024],
    [["livecode-words-es.js"], 7 * 1024],
  ] as const) {
    const bytes = names.reduce((sum, name) => sum + gzipped(name), 0);
    t.diagnostic(`${names.join(" + ")}: ${bytes} bytes gzipped`);
    assert.ok(
      bytes <= max,
      `${names.join(" + ")} has ${bytes} bytes gzipped, but may have at most ${max}`,
    );
  }
});

test("each language is highlighted, by the name of its runtime or by its editor mode", async () => {
  const names =
    "assembly bash c cpp csharp fortran go haskell java javascript javascript-canvas joy julia kotlin " +
    "lua mypy nasm ocaml pascal perl php python python@3.13 python-canvas r ruby rust scala shell sql " +
    "sqlite typescript";
  for (const name of names.split(" ")) {
    assert.notDeepEqual(await languageOf(name), [], name);
  }
  assert.deepEqual(await languageOf("cobol"), []);
  assert.deepEqual(await languageOf("constructor"), []);
});

test("what is left of quotas is told in words", () => {
  const status = (quota: string, limit: number, used: number, scope = "user") => ({
    quota,
    scope,
    limit,
    used,
    left: Math.max(0, limit - used),
    refilled: "2026-03-02T00:00:00.000Z",
  });
  const words = (...quotas: ReturnType<typeof status>[]) =>
    describeQuotas(quotas, (date) => `${date.getUTCHours()}:00`);
  assert.equal(words(), "");
  assert.equal(words(status("sessions_running_max", 512, 3), status("creations_per_min", 30, 29)), "");
  assert.equal(
    words(status("cpu_ms_per_day", 3_600_000, 720_000)),
    "You have used 12 of 60 minutes of CPU time today.",
  );
  assert.equal(
    words(status("output_bytes_per_day", 5_000_000, 1_260_000, "address")),
    "You and the others at your address have used 1.3 of 5 MB of output today.",
  );
  assert.equal(
    words(status("cpu_ms_per_day", 600_000, 700_000)),
    "You have used up the 10 minutes of CPU time for today. You can run programs again from 0:00 on; if you need more, ask the operator of this server.",
  );
  const both = [status("cpu_ms_per_day", 90_000, 9_000), status("cpu_ms_per_day", 30_000, 1_500, "token")];
  assert.equal(words(...both), "With this token you have used 1.5 of 30 seconds of CPU time today.");
  assert.equal(
    words(status("cpu_ms_per_day", 90_000, 9_000), status("cpu_ms_per_day", 90_000, 9_000, "token")),
    "You have used 9 of 90 seconds of CPU time today.",
  );
  assert.equal(
    words(status("sessions_running_max", 2, 2), status("kept_bytes_max", 2_000_000, 1_600_000)),
    "You have 2 programs running, which is the most. Others wait until one ends. " +
      "Ended sessions take 1.6 of 2 MB on the server. Beyond that, the oldest are forgotten.",
  );
});

test("the end of a program is described in words", () => {
  const of = (exitstatus: number, reason?: string) =>
    describeEnd({ msgtype: "exitstatus", exitstatus, reason }, 9.8);
  assert.equal(of(0), "finished");
  assert.equal(of(3), "ended with exit status 3");
  assert.equal(of(124, "timeout"), "stopped after 10 s: its time was up");
  assert.equal(of(137, "signalled"), "stopped");
  assert.equal(of(139, "signalled"), "ended by signal 11");
  assert.match(of(137, "memory"), /memory/);
});

test("a program may read input unless its text tells that it does not", () => {
  const cases: [string, string, boolean][] = [
    ["python", "print('hello')\nfor n in range(3): print(n)", false],
    ["python-canvas", "from math import sin\nimport time, random\ncircle(1, 2, 3)", false],
    ["python@3.11", "import time  # to wait\ntime.sleep(1)", false],
    ["joy", "show(circle())", false],
    ["python", "name = input()", true],
    ["python", "import sys\nprint(sys.argv)", true],
    ["python", "import other", true],
    ["python", "x = 1; import other", true],
    ["python", "from math import (\n  sin)", false],
    ["python", "import time; import os", true],
    ["python", "exec(text)", true],
    ["python", "print(__builtins__)", true],
    ["javascript", "console.log(1)", false],
    ["javascript", 'import { send } from "livecode";\nsend("x", {})', false],
    ["javascript", 'require("livecode").send("x")', false],
    ["javascript", 'require("fs").readFileSync(0)', true],
    ["javascript", "process.stdin.on('data', f)", true],
    ["mypy", "input()", false],
    ["sqlite", "select 1;", false],
    ["sqlite", "select readfile('x');", true],
    ["c", "int main() {}", true],
    ["unknown", "", true],
  ];
  for (const [runtime, text, expected] of cases) {
    assert.equal(canRead(runtime, [text]), expected, `${runtime}: ${text}`);
  }
  assert.equal(canRead("python", ["print(1)", "input()"]), true);
});

test("a session waits, is compiled, runs and has ended in different words", () => {
  const of = (fields: object) =>
    phaseOf({ id: "1", links: { self: "", stream: "" }, runtime: "rust", ...fields })?.text;
  assert.equal(of({ state: "queued" }), "starting");
  assert.equal(of({ state: "queued", queue_position: 3 }), "waiting for its turn, number 3");
  assert.equal(of({ state: "running" }), "compiling");
  assert.equal(of({ state: "running", compiled: "cached" }), undefined);
  assert.equal(of({ state: "running", runtime: "python" }), undefined);
  assert.equal(of({ state: "ended" }), "loading what it has shown");
});

test("a change that removes much is told from one that adds", () => {
  const change = (before: string, after: string) => isDrasticChange([["", before]], [["", after]]);
  const text = "print('a line of some length')\n";
  assert.equal(change(text, text + text), false);
  assert.equal(change(text + text, `${text}# between\n${text}`), false);
  assert.equal(change(text, text.slice(0, -5)), false);
  assert.equal(change(text, ""), true);
  assert.equal(change(text, "print('something else')"), true);
  assert.equal(isDrasticChange([["a", "x"], ["b", text]], [["a", "x"]]), true, "a file is gone");
  assert.equal(isDrasticChange([["", text]], [["main.py", text], ["b", ""]]), false, "it has a name now");
  assert.equal(freeName("My program", []), "My program");
  assert.equal(freeName("My program", ["My program", "My program 2"]), "My program 3");
  assert.equal(freeName("Quiz 2", ["Quiz 2"]), "Quiz 3");
});

test("an archive of programs can be read again, and one that was made elsewhere, too", () => {
  const runtimes = [
    { name: "mypy", file: "main.py", extensions: ["py"] },
    { name: "python", file: "main.py", extensions: ["py"] },
    { name: "c", file: "main.c", extensions: ["c", "h"] },
  ];
  const programs = [
    { name: "One", runtime: "python", files: [["", "print(1)"]] as Files },
    { name: "One/..", runtime: "c", files: [["main.c", "ü"], ["data.txt", ""]] as Files },
    { name: "One", runtime: "c", files: [["", "int n;"]] as Files },
  ];
  const archive = packArchive(programs, runtimes);
  assert.deepEqual(unpackArchive([{ name: "all.zip", bytes: archive }], runtimes, "c"), programs);
  const bytes = new TextEncoder().encode("x = 1");
  assert.deepEqual(unpackArchive([{ name: "a.py", bytes }], runtimes, "python"), [
    { name: "a", runtime: "python", files: [["", "x = 1"]] },
  ]);
  assert.equal(unpackArchive([{ name: "a.h", bytes }], runtimes, "python")[0]?.runtime, "c");
  for (const broken of [archive.slice(0, 100), new Uint8Array([0x50, 0x4b, 3, 4])]) {
    assert.throws(
      () => unpackArchive([{ name: "b.zip", bytes: broken }], runtimes, "c"),
      says(/b\.zip/),
    );
  }
  const one = programs[0] as (typeof programs)[0];
  assert.equal(downloadNameOf(one, runtimes[1]), "One.py");
  assert.equal(downloadNameOf({ ...one, name: "a/b.py" }, runtimes[1]), "a_b.py");
});

test("an archive with pictures is read, and one that is too large is refused", () => {
  const runtimes = [{ name: "python", file: "main.py", extensions: ["py"] }];
  const encode = (text: string) => new TextEncoder().encode(text);
  const binary = new Uint8Array([0xff, 0xfe, 0xfd]);
  const bytes = zipSync({
    "game/main.py": encode("print(1)"),
    "game/cat.png": binary,
    "game/.DS_Store": binary,
    "__MACOSX/game/._main.py": binary,
    "pictures/dog.png": binary,
  });
  const skipped: string[] = [];
  const note = (path: string) => void skipped.push(path);
  assert.deepEqual(unpackArchive([{ name: "a.zip", bytes }], runtimes, "python", note), [
    { name: "game", runtime: "python", files: [["main.py", "print(1)"]] },
  ]);
  assert.deepEqual(skipped.sort(), ["game/cat.png", "pictures/dog.png"]);

  // The directory of an archive may lie about the size of a file that is not compressed.
  const large = zipSync({ "a.py": new Uint8Array(11_000_000) }, { level: 0 });
  const view = new DataView(large.buffer, large.byteOffset, large.byteLength);
  for (let at = large.length - 4; ; at--) {
    if (view.getUint32(at, true) !== 0x02014b50) continue;
    view.setUint32(at + 24, 0, true);
    break;
  }
  const refuses = (...uploads: Uint8Array[]) =>
    assert.throws(
      () => unpackArchive(uploads.map((bytes) => ({ name: "b", bytes })), runtimes, "python"),
      says(/b is too large/),
    );
  refuses(large);
  const half = new Uint8Array(6_000_000).fill(0x20);
  refuses(half, half);
  refuses(zipSync({ "a.py": half }), zipSync({ "b.py": half }));
});

test("no file of an archive has a name that leads out of its program's folder", () => {
  const runtimes = [{ name: "python", file: "main.py", extensions: ["py"] }];
  const wrong = ["../../x", "/etc/x", "a/../../x", "..\\x", "a//b", "b/", ".", "..", "", "\0"];
  const files: Files = [["", "first"], ["x.py", "A"], ["x.py", "B"], ["main.py", "C"]];
  for (const name of wrong) files.push([name, name]);
  const archive = packArchive([{ name: "..", runtime: "python", files }], runtimes);
  const paths = Object.keys(unzipSync(archive)).filter((path) => path !== "livecode.json");
  assert.equal(paths.length, files.length, paths.join());
  for (const path of paths) assert.ok(isFileName(path) && path.startsWith("_/"), path);
  // The texts come back, and each has a name of its own.
  const [program] = unpackArchive([{ name: "all.zip", bytes: archive }], runtimes, "python");
  assert.deepEqual(program?.files.map(([, text]) => text), files.map(([, text]) => text));
  const names = program?.files.map(([name]) => name) ?? [];
  assert.equal(new Set(names).size, files.length, names.join());
  assert.ok(names.slice(1).every(isFileName), names.join());
  assert.deepEqual(names.slice(0, 4), ["", "x.py", "x 2.py", "main.py"]);

  const slip = zipSync({ "a/../../../x.py": new TextEncoder().encode("print()"), "a/main.py": new Uint8Array() });
  const [other] = unpackArchive([{ name: "slip.zip", bytes: slip }], runtimes, "python");
  assert.ok(other?.files.every(([name]) => isFileName(name)), JSON.stringify(other));
  const none = { programs: [{ name: "a", runtime: "python", files: [] }] };
  const empty = zipSync({ "livecode.json": new TextEncoder().encode(JSON.stringify(none)) });
  assert.throws(() => unpackArchive([{ name: "e.zip", bytes: empty }], runtimes, "python"), says(/damaged/));
  assert.ok(strFromU8(unzipSync(archive)["livecode.json"] as Uint8Array).includes("etc"));

  for (const name of ["main.py", "a/b.txt", ".bashrc", "...", "a b", "ü"]) {
    assert.ok(isFileName(name), name);
    assert.equal(pathOf(name), name);
  }
  for (const name of wrong) {
    assert.ok(!isFileName(name), name);
    assert.ok(isFileName(pathOf(name)), name);
  }
});

test("a text is split between characters into messages that each fit", () => {
  for (const text of ["", "a", "😀".repeat(30_000), "\u0001".repeat(30_000), "x".repeat(100_000)]) {
    const all = [...splitText(text)];
    assert.equal(all.join(""), text);
    for (const piece of all) {
      assert.ok(
        JSON.stringify({ msgtype: "input", data: piece, eof: true, id: "x".repeat(30) }).length <=
          65_536,
      );
      assert.ok(!/^[\udc00-\udfff]/.test(piece), "a surrogate pair was split");
    }
  }
});

test("an unsent event may be replaced by the next event, and nothing else is dropped", async () => {
  const outbox = new Outbox("me");
  const sent = outbox.add({ n: 1 }, { coalescingKey: "move" });
  assert.equal(outbox.takeSendable().length, 1);
  const dropped = [
    outbox.add({ n: 2 }, { coalescingKey: "move" }),
    outbox.add({ n: 3 }, { coalescingKey: "move" }),
  ];
  void outbox.add({ n: 4 });
  void outbox.add({ n: 5 }, { coalescingKey: "move" });
  await dropped[0];
  const ids = [...outbox.takeSendable()].map((text) => JSON.parse(text));
  assert.deepEqual(
    ids.map(({ n }) => n),
    [3, 4, 5],
  );
  outbox.acknowledge("me-1");
  await sent;
  assert.equal(outbox.size, 3);
});

test("the messages in flight and the messages in the queue are limited", async () => {
  const outbox = new Outbox("me");
  const all = Array.from({ length: 10_000 }, (_, n) => outbox.add({ n }));
  assert.equal(outbox.takeSendable().length, 32);
  assert.deepEqual(outbox.takeSendable(), []);
  outbox.acknowledge("me-1");
  assert.equal(JSON.parse(outbox.takeSendable()[0] ?? "").n, 32);
  await all[0];
  all.push(outbox.add({}));
  await assert.rejects(outbox.add({}), /10000 messages wait/);
  await assert.rejects(new Outbox("me").add({ data: "x".repeat(65_536) }), /65536 bytes/);
  for (const one of all) one.catch(() => {});
});

test("bytes that are not UTF-8 become replacement characters", () => {
  assert.equal(textOf({ msgtype: "write", data: "ŷ" }), "ŷ");
  assert.equal(
    textOf({ msgtype: "write", data: "Y2Fmw6kg/w==", encoding: "base64" }),
    "café \ufffd",
  );
});

test("messages are converted to those of v0.1", () => {
  const cases: [object, object | undefined][] = [
    [
      { msgtype: "write", file: "stderr", data: "/w==", encoding: "base64", seq: 1 },
      { msgtype: "write", file: "stderr", data: "\ufffd" },
    ],
    [
      { msgtype: "exitstatus", exitstatus: 137, reason: "memory", seq: 9 },
      { msgtype: "exitstatus", exitstatus: 137 },
    ],
    [
      { msgtype: "draw", shape: "circle", reason: "mine", seq: 2 },
      { msgtype: "draw", shape: "circle", reason: "mine" },
    ],
    [{ msgtype: "gap", from: 1, to: 2 }, undefined],
    [{ msgtype: "waiting", seq: 3 }, undefined],
  ];
  for (const [message, expected] of cases) assert.deepEqual(asV01(message as never), expected);
});

test("a program of a v0.1 page has v0.1's time limit, and no input except its own", () => {
  const base = { runtime: "python", code: "x" };
  const of = (options: object) => JSON.parse(JSON.stringify(asProgram({ ...base, ...options })));
  assert.deepEqual(of({}), { ...base, timeout: 10_000, stdin: "" });
  assert.deepEqual(of({ timeout: 5 }), { ...base, timeout: 5, stdin: "" });
  const files = [{ filename: "stdin", contents: "1" }];
  assert.deepEqual(of({ files: [{ ...files[0], more: 1 }] }), { ...base, files, timeout: 10_000 });
  assert.deepEqual(of({ env: { FALCON_STDIN: "" } }), {
    ...base,
    env: { FALCON_STDIN: "" },
    timeout: 10_000,
  });
  assert.deepEqual(of({ interactive: true }), base);
});

test("a link contains a program, and a malformed link is refused", async () => {
  for (const code of ["", "print('ü😀')\n", "x = 1\n".repeat(50_000)]) {
    const fragment = await toFragment({ runtime: "c++", code });
    assert.match(fragment, /^#[\w%.=&-]+$/);
    assert.deepEqual(
      await fromFragment(fragment),
      code ? { runtime: "c++", code } : { runtime: "c++", code: "" },
    );
  }
  const files: Files = [["main.py", "import b"], ["b.py", "ü"]];
  const several = await toFragment({ runtime: "python", ...sharedOf(files) });
  assert.deepEqual(await fromFragment(several), { runtime: "python", files });
  const unnamed: Files = [["", "import b"], ["b.py", "ü"]];
  assert.deepEqual(await fromFragment(await toFragment({ files: unnamed })), { files: unnamed });
  const twice = '[["a", ""], ["a", ""]]';
  for (const wrong of ["[]", "{}", '[["a"]]', '[["a", 1]]', "[", '[["../a", ""]]', '[["a", ""], ["", ""]]', twice]) {
    await assert.rejects(async () => fromFragment(`#files=${await pack(wrong)}`), wrong);
  }
  const session = "0123456789abcdef".repeat(2);
  assert.deepEqual(await fromFragment(`#session=${session}`), { session });
  assert.equal(await fromFragment(""), null);
  assert.equal(await fromFragment("#top"), null);
  const whole = await pack("print(1)".repeat(20));
  for (const broken of [
    "#session=../runtimes",
    `#code=${whole.slice(0, -4)}`,
    "#code=%00",
    `#code=${await pack("a".repeat(2_000_000))}`,
  ]) {
    await assert.rejects(fromFragment(broken), Error, broken);
  }
  await assert.rejects(unpack(await pack("\0".repeat(1_000_001))), /too long/);
});

test("notes have a name or a number", () => {
  const cases: [unknown, number | undefined][] = [
    ["A4", 440],
    [69, 440],
    ["a5", 880],
    ["C4", 261.63],
    ["B3", 246.94],
    ["Bb3", 233.08],
    ["A#3", 233.08],
    ["C-1", undefined],
    ["H4", undefined],
    ["", undefined],
    [null, undefined],
    [NaN, undefined],
    [Infinity, undefined],
    [1000, undefined],
    ["A4A4", undefined],
  ];
  for (const [note, hertz] of cases) {
    const found = frequency(note);
    assert.equal(found && Math.round(found * 100) / 100, hertz, String(note));
  }
});
