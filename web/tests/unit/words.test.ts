/** The words of the interface: complete in each language, and nowhere else. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import test from "node:test";
import ts from "typescript";
import de from "../../src/words/de.js";
import en from "../../src/words/en.js";
import es from "../../src/words/es.js";
import { LANGUAGES, type Words } from "../../src/words/words.js";

const sources = new URL("../../../src/", import.meta.url);
const read = (name: string) => readFileSync(new URL(name, sources), "utf8");
const others = { de, es } as const;
const keys = Object.keys(en) as (keyof Words)[];

/** The words that are the same in another language as in English. */
const SAME: Record<string, string> = {
  de: "api code token exampleQuiz exampleAnimation actOnSession sessionState notFound",
  es: "api token actOnSession sessionState bytes",
};

/** A value for each parameter of a function of words, by which its text can be told. */
const samples = (index: number): unknown[] => [`<${index}>`, 700 + index, [`<${index}>`]];

/** Calls a function of words with parameters of one of the kinds that it may have. */
function call(text: (...parts: never[]) => string): string {
  const parts = Array.from({ length: text.length }, (_, index) => samples(index));
  // A function whose parameters are lists or numbers throws, or writes NaN, for a text.
  for (const kind of [0, 1, 2]) {
    try {
      const told = text(...(parts.map((all) => all[kind]) as never[]));
      if (!told.includes("NaN") && !told.includes("undefined")) return told;
    } catch {
      // The parameters are of another kind.
    }
  }
  return text(...([["<0>"], 701] as never[]));
}

test("each language of the list has all words, with all that is put into them", () => {
  assert.deepEqual(Object.keys(LANGUAGES).sort(), ["en", ...Object.keys(others)].sort());
  for (const [language, words] of Object.entries(others)) {
    assert.deepEqual(Object.keys(words), keys, language);
    assert.equal(words.lang, language);
    const same = (SAME[language] as string).split(" ");
    for (const key of keys) {
      const [original, text] = [en[key], words[key]];
      assert.equal(typeof text, typeof original, key);
      const [told, english] = [text, original].map((one) =>
        typeof one === "function" ? call(one as (...parts: never[]) => string) : one,
      ) as [string, string];
      assert.equal(told.trim(), told, key);
      // Whatever English puts into a text is in the other one, too.
      const parts = (of: string) => of.match(/<\d>|7\d\d/g)?.sort().join() ?? "";
      assert.equal(parts(told), parts(english), `${language} ${key}: ${told}`);
      if (!same.includes(key) && key !== "lang") assert.notEqual(told, english, `${language} ${key}`);
      // A sentence is a sentence, and a question that waits for an answer says so.
      assert.equal(/\.$/.test(told), /\.$/.test(english), `${language} ${key}: ${told}`);
      assert.equal(told.includes("…"), english.includes("…"), `${language} ${key}: ${told}`);
    }
  }
});

test("numbers take the form of the word that the language has for them", () => {
  const all = { en, de, es };
  const told = (count: number) =>
    Object.values(all).flatMap(({ countFiles, rowsShown }) => [countFiles(count), rowsShown(1, count)]);
  assert.deepEqual(told(1), ["1 file", "1 of 1 row", "1 Datei", "1 von 1 Zeile", "1 archivo", "1 de 1 fila"]);
  assert.deepEqual(told(25_000), [
    ...["25,000 files", "1 of 25,000 rows", "25.000 Dateien", "1 von 25.000 Zeilen"],
    ...["25.000 archivos", "1 de 25.000 filas"],
  ]);
});

/** Files whose texts are no words of the interface, and why. */
const EXEMPT = new Map([
  ["editor/style.ts", "a style sheet"],
  ["editor/pane/find-style.ts", "a style sheet"],
  ["editor/exercise/verdict-style.ts", "a style sheet"],
  ["editor/php.ts", "words of a programming language"],
  ["editor/javascript.ts", "words of a programming language"],
  ["editor/completion/modules.ts", "modules of programming languages"],
  ["editor/completion/signatures.ts", "functions of programming languages"],
  ["editor/places/mark.ts", "two classes of the style sheet"],
  ["editor/session/can-read.ts", "words of programming languages"],
  ["editor/places/finder.ts", "the forms of the messages of compilers"],
  ["dom/output.ts", "the default for pages of v0.1, which are in English"],
]);

/** Texts that look like words of the interface and are none. */
const NO_WORDS = new Set([
  ...["Enter", "Escape", "Tab", "Home", "End", "ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown", "Mod-Enter"],
  ...["Link", "Retry-After", "Authorization", "Bearer 0", "DOMContentLoaded", "AltGraph"],
  ...["Hello", "Quiz", "Turtle", "Animation", "Mouse game", "Music", "Plot", "Table", "Paint"],
  ...["English", "Deutsch", "Español"],
  ...["QuotaExceededError", "AbortError", "noopener noreferrer"],
]);

const isWord = (text: string) =>
  !NO_WORDS.has(text) &&
  // Two words with a space between them, or one with a capital.
  (/\p{L}{2,}[,.:;!?]? \p{L}/u.test(text) || /^\p{Lu}\p{Ll}+( |$|…)/u.test(text) || text.includes("…"));

/** The texts of a file that look like words of the interface. */
function wordsIn(name: string): string[] {
  const found: string[] = [];
  const file = ts.createSourceFile(name, read(name), ts.ScriptTarget.ES2022, true);
  const visit = (node: ts.Node): void => {
    // The text of an error is for whoever looks for its cause, and a selector is for the browser.
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node) || ts.isTypeNode(node)) return;
    if (ts.isNewExpression(node) && /Error$/.test(node.expression.getText())) return;
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.SuperKeyword) return;
    if (ts.isCallExpression(node) && /\.(querySelector(All)?|closest|matches|split)$/.test(node.expression.getText())) return;
    if (ts.isStringLiteralLike(node) && isWord(node.text)) found.push(node.text);
    if (ts.isTemplateExpression(node)) {
      const text = [node.head.text, ...node.templateSpans.map(({ literal }) => literal.text)].join("0");
      if (isWord(text)) found.push(text);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

test("no word of the interface is outside of the files of words", () => {
  const names = (readdirSync(sources, { recursive: true }) as string[]).filter(
    (name) => /^(editor|embed|page|dom|terminal)\/.*\.ts$/.test(name) && !name.endsWith(".d.ts"),
  );
  assert.ok(names.length > 30, names.join());
  for (const name of names) if (!EXEMPT.has(name)) assert.deepEqual(wordsIn(name), [], name);
  assert.ok(wordsIn("words/en.ts").length > 150, "the test finds words where there are some");

  const named: (keyof Words)[] = [];
  for (const [page, shown] of [["page/page.html", ["LiveCode"]], ["embed/embed.html", undefined]] as const) {
    const html = read(page);
    const texts = html.replace(/<(title|style|script)\b.*?<\/\1>/gs, "").match(/(?<=>)[^<>]*\p{L}[^<>]*(?=<)/gu);
    assert.deepEqual(texts?.map((text) => text.trim()), shown, "the name is the same in every language");
    assert.deepEqual(html.match(/\b(aria-label|title|placeholder|alt)="[^"]*"/g), null);
    named.push(...[...html.matchAll(/data-word(?:-\w+)?="(\w+)"/g)].map(([, key]) => key as keyof Words));
  }
  for (const key of named) assert.equal(typeof en[key], "string", key);

  // Each word is used somewhere.
  const all = names.map(read).join("\n");
  const unused = keys.filter(
    (key) => key !== "lang" && !named.includes(key) && !new RegExp(`(words\\??|texts)\\.${key}\\b|"${key}"`).test(all),
  );
  assert.deepEqual(unused.filter((key) => !["connecting", "reconnecting"].includes(key)), []);
});
