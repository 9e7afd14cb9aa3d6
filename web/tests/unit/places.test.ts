import assert from "node:assert/strict";
import test from "node:test";
import { placeFinder } from "../../src/editor/places/finder.js";

/** The places in a line, each as `file:line:column`, and the text that names it. */
function placesIn(runtime: string, files: Record<string, string>, text: string): string[] {
  const find = placeFinder(runtime, new Map(Object.entries(files)));
  return find(text).map(
    ({ file, line, column, from, to }) => `${file}:${line}:${column ?? ""} ${text.slice(from, to)}`,
  );
}

test("the places that compilers and tracebacks name are found, in the form of each language", () => {
  for (const [text, ...expected] of [
    [`  File "/code/main.py", line 3, in <module>`, `:3: /code/main.py", line 3`],
    [`main.py:3: error: Incompatible types`, `:3: main.py:3`],
    [`main.c:3:5: error: 'x' undeclared`, `:3:5 main.c:3:5`],
    [`In file included from main.cpp:12:`, `:12: main.cpp:12`],
    [`./main.go:5:2: undefined: x`, `:5:2 ./main.go:5:2`],
    [`\t/code/main.go:5 +0x1d`, `:5: /code/main.go:5`],
    [` --> main.rs:3:5`, `:3:5 main.rs:3:5`],
    [`thread 'main' panicked at main.rs:3:5:`, `:3:5 main.rs:3:5`],
    [`/code/main.js:12`, `:12: /code/main.js:12`],
    [`    at foo (/code/main.js:3:9)`, `:3:9 /code/main.js:3:9`],
    [`    at file:///code/main.mjs:3:9`, `:3:9 file:///code/main.mjs:3:9`],
    [`main.ts(3,5): error TS2322`, `:3:5 main.ts(3,5)`],
    [`Main.java:3: error: ';' expected`, `:3: Main.java:3`],
    [`main.pas(3,5) Error: Identifier not found`, `:3:5 main.pas(3,5)`],
    [`died at main.pl line 3.`, `:3: main.pl line 3`],
    [`PHP Fatal error: x in /code/main.php on line 3`, `:3: /code/main.php on line 3`],
    [`main.sh: line 3: foo: command not found`, `:3: main.sh: line 3`],
    [`File "main.ml", line 3, characters 4-5:`, `:3: main.ml", line 3`],
    [`main.hs:(3,5)-(4,6): Non-exhaustive patterns`, `:3:5 main.hs:(3,5)`],
    [`main.rb:3:in 'foo': x (from main.rb:9:in 'bar')`, `:3: main.rb:3`, `:9: main.rb:9`],
    [`At line 4 of file main.f90 (unit = 5)`, `:4: At line 4 of file main.f90`],
    // Files that are not the program's.
    [`  File "/usr/lib/python3.13/main.py", line 3`],
    [`/usr/include/main.h:3:5: note`],
    [`domain.py:9`],
    [`node:internal/main.js:3`],
    [`main.py 12 and main.py: nothing`],
    [`main.py:x`],
  ] as [string, ...string[]][]) {
    assert.deepEqual(placesIn("python", { "": "" }, text), expected, text);
  }
});

test("a file is found by its own name, and a class of Java by that of its file", () => {
  const files = { "main.py": "", "lib/a.py": "", "a.py": "", "a+b (1).py": "" };
  assert.deepEqual(placesIn("python", files, `File "/code/lib/a.py", line 3`), [
    `lib/a.py:3: /code/lib/a.py", line 3`,
  ]);
  assert.deepEqual(placesIn("python", files, `a.py:3 a+b (1).py:4`), [
    "a.py:3: a.py:3",
    "a+b (1).py:4: a+b (1).py:4",
  ]);
  assert.deepEqual(placesIn("python", { "x.py": "" }, "main.py:3"), []);
  assert.deepEqual(placesIn("python", {}, "main.py:3"), []);
  const java = { "": "public class Checks { record Pair(int a) {} }" };
  assert.deepEqual(placesIn("java", java, "\tat Checks.main(Checks.java:5)"), [":5: Checks.java:5"]);
  assert.deepEqual(placesIn("java", java, "\tat java.base/java.util.Scanner.next(Scanner.java:947)"), []);
  assert.deepEqual(placesIn("sqlite", { "": "" }, "Parse error near line 3: no such table"), [
    ":3: near line 3",
  ]);
});

test("a hostile line costs no more than another one of its length", () => {
  const find = placeFinder("python", new Map([["", ""]]));
  for (const part of ["main.", "/code/", "./", "file://", "main.py", `main.py", line `, "main.py:1:", "at line 1 of file "]) {
    const text = part.repeat(200_000 / part.length);
    const began = performance.now();
    find(text);
    const elapsed = performance.now() - began;
    assert.ok(elapsed < 2000, `${part}: ${Math.round(elapsed)} ms`);
  }
});
