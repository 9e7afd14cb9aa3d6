/** When what the user writes is stored, and where. */

import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { type Files, filesOf } from "../../src/page/programs/files.js";
import { Keeper } from "../../src/page/programs/keeper.js";
import type { Program, ProgramStore, Saved, SaveOptions } from "../../src/page/programs/store.js";
import { FakeEnvironment, runPendingCallbacks } from "./fakes.js";

/** A store like that of the browser, whose answers the test may delay or refuse. */
class FakeStore {
  readonly programs = new Map<string, Program>();
  readonly options: SaveOptions[] = [];
  /** Called before a program is stored. */
  onSave: (program: Program) => Promise<void> = async () => {};

  list = async () => [...this.programs.values()];
  get = async (id: string) => this.programs.get(id);

  save = async (program: Program, options: SaveOptions = {}): Promise<Saved> => {
    await this.onSave(program);
    const stored = this.programs.get(program.id);
    if (stored && stored.revision !== program.revision) return { kind: "conflict", stored };
    const saved = { ...program, revision: program.revision + 1 };
    this.programs.set(program.id, saved);
    this.options.push(options);
    return { kind: "saved", program: saved };
  };

  get texts(): string[] {
    return [...this.programs.values()].map(({ files }) => files[0]?.[1] ?? "");
  }
}

/** An editor with a text, whose edits are kept. The test moves the clock. */
function setUp(t: TestContext) {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const store = new FakeStore();
  const environment = new FakeEnvironment();
  const problems: unknown[] = [];
  const editor = { text: "" };
  const keeper = new Keeper(
    store as unknown as ProgramStore,
    environment,
    () => [...environment.lasting.keys()],
    {
      readFiles: (): Files => filesOf(editor.text),
      onSaved() {},
      onReplaced() {},
      onCopied() {},
      onProblem: (error) => void problems.push(error),
    },
  );
  keeper.open({ title: "", copyName: "My program", runtime: "python", files: filesOf("") });
  const write = (text: string) => {
    editor.text = text;
    keeper.handleEdit();
  };
  const advance = async (ms: number) => {
    t.mock.timers.tick(ms);
    await runPendingCallbacks();
  };
  return { store, environment, problems, editor, keeper, write, advance };
}

test("what is typed without a pause is stored, at the latest after a second", async (t) => {
  const { store, write, advance } = setUp(t);
  let text = "";
  for (let count = 0; count < 300; count++) {
    const before = text;
    write((text += "x"));
    await advance(100);
    const kept = store.texts[0] ?? "";
    assert.ok(kept.length >= before.length - 9, `${kept.length} of ${text.length} are stored`);
  }
  await advance(300);
  assert.deepEqual(store.texts, [text]);
});

test("what the browser has not finished storing is put aside when the page is left", async (t) => {
  const { store, environment, keeper, editor, write, advance } = setUp(t);
  const aside = () =>
    [...environment.lasting.values()].map((text) => (JSON.parse(text) as Program).files);
  let finish = () => {};
  store.onSave = () => new Promise<void>((resolve) => (finish = resolve));
  write("# first");
  await advance(300);
  keeper.flushNow();
  assert.deepEqual(aside(), [filesOf("# first")]);
  // The user goes on writing, and the page is hidden, while the first text is still being stored.
  write("# second");
  keeper.flushNow();
  void keeper.flush();
  await runPendingCallbacks();
  assert.deepEqual(aside(), [filesOf("# second")]);
  finish();
  await runPendingCallbacks();
  assert.deepEqual(store.texts, ["# first"]);
  assert.deepEqual(aside(), [filesOf("# second")]);
  finish();
  await runPendingCallbacks();
  assert.deepEqual(store.texts, ["# second"]);
  assert.deepEqual(aside(), []);

  // The user opens something else, and the page is left before the program is stored.
  write("# third");
  keeper.open({ title: "", copyName: "Other", runtime: "python", files: filesOf("# other") });
  editor.text = "# other";
  keeper.flushNow();
  assert.deepEqual(aside(), [filesOf("# third")]);
});

test("a program that takes long to store is put aside meanwhile", async (t) => {
  const { store, environment, write, advance } = setUp(t);
  store.onSave = () => new Promise<void>(() => {});
  write("# slow");
  await advance(300);
  assert.equal(environment.lasting.size, 0);
  await advance(1000);
  assert.match([...environment.lasting.values()].join(), /# slow/);
});

test("the page says that it cannot store until all is stored", async (t) => {
  const { store, problems, keeper, editor, write, advance } = setUp(t);
  store.onSave = async ({ files }) => {
    if (files[0]?.[1].includes("large")) throw new Error("there is no space");
  };
  write("# a large program");
  await advance(300);
  assert.equal(problems.length, 1);
  keeper.open({ title: "", copyName: "Small", runtime: "python", files: filesOf("") });
  write("# small");
  await advance(300);
  assert.deepEqual(store.texts, ["# small"]);
  assert.ok(!problems.includes(undefined));
  const unsaved = () => keeper.unsaved().map(({ files }) => files);
  assert.deepEqual(unsaved(), [filesOf("# a large program")]);
  // The next try fails, and the one after that does not.
  await advance(5000);
  assert.ok(!problems.includes(undefined));
  store.onSave = async () => {};
  await advance(5000);
  assert.deepEqual(store.texts.sort(), ["# a large program", "# small"]);
  assert.equal(problems.at(-1), undefined);
  assert.deepEqual(unsaved(), []);
  assert.equal(editor.text, "# small");
});

test("what is deleted without a pause becomes one version, as it was before", async (t) => {
  const { store, write, advance } = setUp(t);
  const text = "print('a line of some length, to be deleted')";
  write(text);
  await advance(300);
  // Backspace is held, for less than what makes a second version.
  for (let length = text.length - 1; length >= 10; length--) {
    write(text.slice(0, length));
    await advance(60);
  }
  await advance(300);
  assert.deepEqual(store.texts, [text.slice(0, 10)]);
  const versions = store.options.flatMap(({ before }) => (before ? [before] : []));
  assert.deepEqual(versions, [filesOf(text)]);
});
