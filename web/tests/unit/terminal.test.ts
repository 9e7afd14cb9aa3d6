/** What a program's output shows, compared with xterm.js as the terminal that users know. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import xtermHeadless from "@xterm/headless";
import { charactersOf, takeColumns } from "../../src/terminal/columns.js";
import { SequenceParser } from "../../src/terminal/sequences.js";
import { readableOn, Rendition } from "../../src/terminal/style.js";
import { MAX_COLUMNS, MAX_ROWS, safeLink, Terminal } from "../../src/terminal/terminal.js";
import type { Line } from "../../src/terminal/line.js";

/** The lines of a screen, without the spaces at their ends and without empty lines at the end. */
const trimmed = (lines: string[]) =>
  lines
    .map((line) => line.trimEnd())
    .join("\n")
    .replace(/\n+$/, "")
    .split("\n");

/** The text with spaces in place of tabs. */
function expand(line: string): string {
  let text = "";
  for (const one of line) text += one === "\t" ? " ".repeat(8 - (text.length % 8)) : one;
  return text;
}

/** The lines that our terminal shows for chunks of an output. */
function show(...chunks: string[]): string[] {
  let left = "";
  const textOf = (line: Line) => expand(line.text) + (line.end ?? "");
  const terminal = new Terminal({ leave: (line) => (left += textOf(line)), remove() {} });
  for (const chunk of chunks) terminal.write(chunk, "stdout");
  return trimmed((left + terminal.lines.map(textOf).join("")).split("\n"));
}

/** The lines that xterm.js shows. */
async function showByXterm(output: string): Promise<string[]> {
  const xterm = new xtermHeadless.Terminal({
    cols: MAX_COLUMNS,
    rows: MAX_ROWS,
    scrollback: 5000,
    convertEol: true,
    allowProposedApi: true,
  });
  await new Promise<void>((resolve) => xterm.write(output, resolve));
  const { active } = xterm.buffer;
  let text = "";
  for (let row = 0; row < active.length; row++) {
    const line = active.getLine(row);
    const isContinued = active.getLine(row + 1)?.isWrapped ?? false;
    text += (line?.translateToString(!isContinued) ?? "") + (isContinued ? "" : "\n");
  }
  xterm.dispose();
  return trimmed(text.split("\n"));
}

/** Numbers that look random, and are the same in each run. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Cuts a text into chunks at random places. */
function cut(text: string, random: (below: number) => number): string[] {
  const chunks: string[] = [];
  for (let at = 0; at < text.length; ) {
    const length = 1 + random(12);
    chunks.push(text.slice(at, at + length));
    at += length;
  }
  return chunks;
}

const recorded = JSON.parse(
  readFileSync(new URL("../../../tests/unit/recorded.json", import.meta.url), "utf8"),
) as { name: string; output: string }[];

test("what other programs print looks as in xterm", async (t) => {
  assert.ok(recorded.length >= 8);
  for (const { name, output } of recorded) {
    const expected = await showByXterm(output);
    assert.deepEqual(show(output), expected, name);
    const random = createRandom(output.length);
    assert.deepEqual(show(...cut(output, random)), expected, `${name}, in small chunks`);
    t.diagnostic(`${name}: ${output.length} characters, ${expected.length} lines`);
  }
});

test("progress bars, spinners and tables are shown as a terminal shows them", async () => {
  const cases: [output: string, expected: string[]][] = [
    ["  0%\r 50%\r100%\ndone\n", ["100%", "done"]],
    ["a long line\rshort\n", ["shortg line"]],
    ["a long line\r\x1b[Kshort\n", ["short"]],
    ["abc\b\bX\n", ["aXc"]],
    ["\b\bx", ["x"]],
    ["a\tb\tc\n1234567\t8\n12345678\t9\n", ["a       b       c", "1234567 8", "12345678        9"]],
    ["ring\x07ring\0\x01\x7f!", ["ringring!"]],
    ["one\r\ntwo\r\n", ["one", "two"]],
    ["bar 1:  0%\nbar 2:  0%\x1b[A\rbar 1: 50%\n\rbar 2: 10%\n", ["bar 1: 50%", "bar 2: 10%"]],
    ["1\n2\n3\n\x1b[2F\x1b[2KII\n\x1b[0Jend", ["1", "II", "end"]],
    ["\x1b[?25l\u280b wait\x1b[1G\x1b[2K\u2819 wait\x1b[1G\x1b[2K\u2714 done\n\x1b[?25h", ["\u2714 done"]],
    ["old\nold\n\x1b[H\x1b[2J\x1b[3Jnew", ["new"]],
    ["a\x1b[3;5Hb", ["a", "", "    b"]],
    ["abcdef\x1b[4D\x1b[2Pz\n", ["abzf"]],
    ["abc\x1b[2D\x1b[@x\n", ["axbc"]],
    ["abcdef\x1b[1G\x1b[3X\n", ["   def"]],
    ["x\x1b7yz\x1b8Y", ["xYz"]],
    ["\x1b]0;a title\x07a\x1b]8;;http://x.test/\x1b\\b\x1b]8;;\x1b\\c", ["abc"]],
    ["\x1bPq#0;2;0;0;0\x1b\\a\x1b_hidden\x1b\\b\x1b^x\x07c\x1b(Bd\x1b=e", ["abcde"]],
    ["\x1b[3g\x1b[5G\x1bH\rx\ty", ["x   y"]],
    ["\u65e5\u672c\b\bx", ["\u65e5x"]],
    ["\u65e5\u672c\rx", ["x \u672c"]],
    ["e\u0301e\rx", ["xe"]],
    ["a\x1b[31\nb", ["a", "b"]],
    ["a\x1b]0;unfinished\nb", ["a", "b"]],
  ];
  for (const [output, expected] of cases) {
    const name = JSON.stringify(output);
    assert.deepEqual(show(output), expected, name);
    for (let at = 1; at < output.length; at++) {
      assert.deepEqual(show(output.slice(0, at), output.slice(at)), expected, `${name} at ${at}`);
    }
  }
});

test("random output is shown as by xterm, wherever it is cut", async () => {
  const number = (random: (below: number) => number) => ["", "0", "1", "2", "3", "7"][random(6)];
  const parts: ((random: (below: number) => number) => string)[] = [
    (random) => "abcdefghijklmnopqrstuvwxyz".slice(random(26)),
    (random) => "abcdefghijklmnopqrstuvwxyz".slice(random(26)),
    (random) => ["\r", "\n", "\b", "\t", "\r\n", "\x07", "\v"][random(7)] as string,
    (random) => `\x1b[${number(random)}${"ABCDEFGdXP@"[random(11)]}`,
    (random) => `\x1b[${1 + random(12)};${1 + random(30)}H`,
    (random) => `\x1b[${["", 0, 1, 2][random(4)]}${"JK"[random(2)]}`,
    (random) => `\x1b[${random(50)};${random(50)}m`,
    (random) => ["\x1b]0;title\x07", "\x1b]8;;http://x.test/\x1b\\", "\x1b(B", "\x1bD", "\x1bE"][random(5)] as string,
  ];
  for (let seed = 1; seed <= 400; seed++) {
    const random = createRandom(seed);
    let output = "";
    for (let count = 0; count < 60; count++) output += parts[random(parts.length)]?.(random);
    const expected = await showByXterm(output);
    assert.deepEqual(show(output), expected, `seed ${seed}: ${JSON.stringify(output)}`);
    assert.deepEqual(show(...cut(output, random)), expected, `seed ${seed}, in chunks`);
  }
});

test("a line that is too long continues in the next one, as in xterm", async () => {
  for (const output of [
    `${"x".repeat(2500)}\rab\ncd`,
    `${"\u65e5".repeat(1200)}\rab\ncd`,
    `${"x".repeat(1000)}\nab`,
    `${"x".repeat(30_000)}\x1b[3A\rab\x1b[K\ncd`,
  ]) {
    assert.deepEqual(show(output), await showByXterm(output), output.slice(-12));
  }
});

test("standard output and standard error share the cursor, and each has its own colour", () => {
  const terminal = new Terminal({ leave() {}, remove() {} });
  for (const [text, file] of [
    ["\x1b[32mgreen ", "stdout"],
    ["error \x1b[3", "stderr"],
    ["still green", "stdout"],
    ["4mblue", "stderr"],
  ] as const) {
    terminal.write(text, file);
  }
  const [line] = terminal.lines;
  assert.deepEqual(
    line?.slice(0).map(({ text, style }) => [text, style.classes.join(" ")]),
    [
      ["green ", "green"],
      ["error ", "stderr"],
      ["still green", "green"],
      ["blue", "stderr blue"],
    ],
  );
});

test("colours and attributes are those that a program sets", () => {
  const styleOf = (...parameters: string[]) => {
    const rendition = new Rendition();
    parameters.forEach((one) => rendition.apply(one));
    const { classes, foreground, background } = rendition.style;
    return [classes.join(" "), foreground, background].map((one) => one ?? "").join("|");
  };
  const cases: [parameters: string[], style: string][] = [
    [["31;1"], "red bold||"],
    [["31", ""], "||"],
    [["1;3;4;9", "22", "24"], "italic strike||"],
    [["91"], "red||"],
    [["90"], "grey||"],
    [["2"], "dim||"],
    [["38;5;9"], "red||"],
    [["38;5;196"], "|#ff0000|"],
    [["38;5;16"], "|#000000|"],
    [["38;5;110"], "|#87afd7|"],
    [["38;5;244"], "|#808080|"],
    [["38;2;1;2;255"], "|#0102ff|"],
    [["38:2::1:2:255"], "|#0102ff|"],
    [["38:2:1:2:255"], "|#0102ff|"],
    [["38:5:196"], "|#ff0000|"],
    [["41"], "||#cd0000"],
    [["44"], "||#0000ee"],
    [["103;30"], "|#000000|#ffff00"],
    [["48;2;10;20;30;1"], "bold||#0a141e"],
    [["7"], "inverse||"],
    [["7;31"], "red inverse||"],
    [["7;31;44"], "|#0000ee|#cd0000"],
    [["7;38;2;1;2;3"], "||#010203"],
    [["7;41"], "|#cd0000|#ffffff"],
    [["7", "27"], "||"],
    [["38;5;999"], "||"],
    [["38;5"], "||"],
    [["38;2;1"], "||"],
    [["4:3"], "underline||"],
    [["4", "4:0"], "||"],
    [["58;2;1;2;3;32"], "green||"],
    [["8"], "concealed||"],
  ];
  for (const [parameters, style] of cases) {
    assert.equal(styleOf(...parameters), style, parameters.join(" "));
  }
  assert.equal(readableOn("#ffff00", "#ffffff"), "#000000");
  assert.equal(readableOn("#0000ee", "#ffffff"), "#ffffff");
  assert.equal(readableOn("#cd0000"), "#ffffff");
});

test("only http and https links can be opened", () => {
  assert.equal(safeLink("https://example.org/a?b#c"), "https://example.org/a?b#c");
  assert.equal(safeLink("HTTP://example.org"), "http://example.org/");
  for (const address of ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "//x.test", "/x", "", "http://", `http://x.test/${"x".repeat(3000)}`]) {
    assert.equal(safeLink(address), undefined, address);
  }
  const terminal = new Terminal({ leave() {}, remove() {} });
  terminal.write("\x1b]8;id=1;https://x.test/a;b\x07a\x1b]8;;javascript:alert(1)\x07b\x1b]8;;\x07c", "stdout");
  assert.deepEqual(
    terminal.lines[0]?.slice(0).map(({ text, style }) => [text, style.link]),
    [["a", "https://x.test/a;b"], ["bc", undefined]],
  );
});

test("what is held back is bounded", () => {
  const seen: string[] = [];
  const note = (name: string) => (text: string) => void seen.push(`${name} ${text.length}`);
  const handler = { text: note("text"), control: note("control"), csi: note("csi"), osc: note("osc"), escape: note("escape") };
  const parser = new SequenceParser();
  // The contents of a picture for a terminal that shows pictures.
  parser.parse("\x1b]1337;File=:", handler);
  for (let count = 0; count < 1000; count++) parser.parse("A".repeat(1000), handler);
  assert.deepEqual(seen, []);
  parser.parse("\x07shown", handler);
  assert.deepEqual(seen, ["control 1", "text 5"]);
  parser.parse(`\x1b[${"1;".repeat(5000)}`, handler);
  parser.parse("again", handler);
  assert.equal(seen.at(-1), "text 5");

  // A line that never ends, and lines that are written over and over.
  let kept = 0;
  const terminal = new Terminal({ leave: () => kept++, remove() {} });
  for (let count = 0; count < 200; count++) {
    terminal.write("x".repeat(10_000), "stdout");
    terminal.write("\r\x1b[A\x1b[A12\r", "stderr");
  }
  assert.equal(terminal.lines.length, MAX_ROWS);
  assert.ok(terminal.lines.every(({ columns }) => columns <= MAX_COLUMNS));
  assert.ok(kept > 100);

  // Characters that have no columns never fill a line, wherever they are written.
  for (const mark of ["\u0301", "\u200b", "\ufeff", "\u{e0041}"]) {
    const terminal = new Terminal({ leave() {}, remove() {} });
    const [line] = terminal.lines;
    for (const before of ["", "a", "b\b", "\u65e5", "\t", "\x1b[30G", "\r"]) {
      for (let count = 0; count < 100; count++) terminal.write(before + mark.repeat(1000), "stdout");
    }
    assert.equal(terminal.lines.length, 1);
    const length = line?.text.length ?? 0;
    assert.ok(length > 0 && length <= 40 * MAX_COLUMNS, String(length));
    // A sequence that is left out is no reason to show the line again.
    assert.ok(line);
    line.isRewritten = false;
    terminal.write(mark.repeat(1000), "stdout");
    assert.ok(!line.isRewritten);
  }
});

test("a long line is rewritten as fast as a short one", () => {
  const time = (output: string) => {
    const terminal = new Terminal({ leave() {}, remove() {} });
    const began = performance.now();
    for (let at = 0; at < output.length; at += 8000) terminal.write(output.slice(at, at + 8000), "stdout");
    return performance.now() - began;
  };
  const coloured = Array.from({ length: 990 }, (_, at) => `\x1b[${31 + (at % 7)}mx`).join("");
  for (const [line, step] of [
    ["\u65e5".repeat(499), "\b\b\u65e5"],
    [`${coloured}\x1b[m`, "\rx"],
  ] as const) {
    const steps = step.repeat(130_000);
    const ms = time(line + steps);
    // A step takes a microsecond or so. It took a hundred when the line was built anew for each.
    assert.ok(ms < 4000, `${ms} ms for ${JSON.stringify(step)}`);
  }
});

test("wide characters are written over as by xterm", async () => {
  const number = (random: (below: number) => number) => ["", "1", "2", "3", "7"][random(5)];
  const parts: ((random: (below: number) => number) => string)[] = [
    (random) => "\u65e5\u672c\u8a9e\u4e2d\u6587".slice(random(5)),
    (random) => "abcdef".slice(random(6)),
    (random) => ["\r", "\n", "\b"][random(3)] as string,
    (random) => `\x1b[${number(random)}${"ABCDG"[random(5)]}`,
    (random) => `\x1b[${number(random)}${"XP@"[random(3)]}`,
    (random) => `\x1b[${["", 0, 1, 2][random(4)]}K`,
  ];
  for (let seed = 1; seed <= 200; seed++) {
    const random = createRandom(seed);
    let output = "";
    for (let count = 0; count < 40; count++) output += parts[random(parts.length)]?.(random);
    const expected = await showByXterm(output);
    assert.deepEqual(show(output), expected, `seed ${seed}: ${JSON.stringify(output)}`);
    assert.deepEqual(show(...cut(output, random)), expected, `seed ${seed}, in chunks`);
  }
});

test("the columns of characters are those of terminals", () => {
  assert.deepEqual(
    charactersOf("ae\u0301\u65e5\u{1f600}\u2588").map(({ columns }) => columns),
    [1, 1, 2, 2, 1],
  );
  assert.deepEqual(takeColumns("\u65e5\u672c", 3), { text: "\u65e5", columns: 2 });
  assert.deepEqual(takeColumns("abc", 2), { text: "ab", columns: 2 });
  assert.deepEqual(takeColumns("e\u0301\u65e5x", 3), { text: "e\u0301\u65e5", columns: 3 });
});
