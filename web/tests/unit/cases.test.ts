/** The difference between what a case expects and what was printed. */

import assert from "node:assert/strict";
import test from "node:test";
import { areSameLines, linesOf } from "../../src/editor/exercise/compare.js";
import { diffLines } from "../../src/editor/exercise/diff.js";
import { isAsExpected, plain } from "../../src/editor/exercise/plain.js";

const SIGNS = { same: " ", expected: "-", printed: "+", gap: "" };

/** The difference of two lists of words, with a sign before each. */
function diff(expected: string, printed: string): string {
  const [left, right] = [expected, printed].map((text) => text.split(" ").filter(Boolean));
  const lines = diffLines(left as string[], right as string[], (one, other) => one === other);
  return lines.map(({ kind, text }) => SIGNS[kind] + text).join();
}

test("a difference keeps the longest part that is the same", () => {
  assert.equal(diff("a b c", "a b c"), "");
  assert.equal(diff("", ""), "");
  assert.equal(diff("a b c", "a x c"), " a,-b,+x, c");
  assert.equal(diff("a b c", ""), "-a,-b,-c");
  assert.equal(diff("", "a"), "+a");
  assert.equal(diff("a b c d", "b c d e"), "-a, b, c, d,+e");
  assert.equal(diff("a a a", "a a"), " a, a,-a");
  assert.equal(diff("1 2 3 4 5 6 7 8 9", "1 2 3 4 5 6 7 8 x"), "⋯, 6, 7, 8,-9,+x");
  assert.equal(diff("x 1 2 3 4 5 6 7 y", "1 2 3 4 5 6 7"), "-x, 1, 2, 3,⋯, 5, 6, 7,-y");
});

test("a difference of many lines is bounded, and soon known", () => {
  const many = (text: string) => Array.from({ length: 20_000 }, (_, at) => `${text} ${at}`);
  const lines = diffLines(many("expected"), many("printed"), (one, other) => one === other);
  assert.equal(lines.length, 201);
  assert.equal(lines.at(-1)?.kind, "gap");
  const [before, after] = [[...many("x"), "end"], [...many("x"), "end"]];
  before[10_000] = "other";
  const shown = diffLines(before, after, (one, other) => one === other);
  assert.deepEqual(
    shown.map(({ kind }) => SIGNS[kind]),
    ["", " ", " ", " ", "-", "+", " ", " ", " ", ""],
  );
});

test("lines are compared as their case is", () => {
  const same = (compare: "exact" | "trimmed" | "tokens" | "floats", tolerance?: number) =>
    (expected: string, printed: string) =>
      areSameLines({ compare, ...(tolerance ? { tolerance } : {}) }, expected, printed);
  assert.ok(!same("exact")("a ", "a"));
  assert.ok(!same("trimmed")("a  b", "a b"));
  assert.ok(same("tokens")(" a  b", "a b "));
  assert.ok(!same("tokens")("a b", "a b c"));
  assert.ok(!same("tokens")("1.0", "1"));
  assert.ok(same("floats")("x 1.0", "x 1.0000001"));
  assert.ok(!same("floats")("1.0", "1.1"));
  assert.ok(same("floats", 0.1)("100", "109"));
  assert.ok(!same("floats")("x", "y"));
  assert.deepEqual(linesOf("a \nb\n\n", { compare: "exact" }, plain), ["a ", "b", "", ""]);
  assert.deepEqual(linesOf("a \nb\n\n", {}, plain), ["a", "b"]);
  assert.ok(isAsExpected("a \r\nb\n", "a\nb"));
});
