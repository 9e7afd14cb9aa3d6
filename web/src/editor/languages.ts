/**
 * The languages of the runtimes. Each is a file of its own, which is loaded for the first program
 * in that language.
 */

import { StreamLanguage, type StreamParser } from "@codemirror/language";
import type { Extension } from "@codemirror/state";

type Loader = () => Promise<Extension>;

/** A language whose grammar is a parser of lines. */
const lines =
  <State>(load: () => Promise<StreamParser<State>>): Loader =>
  async () =>
    StreamLanguage.define(await load());

const clike = () => import("@codemirror/legacy-modes/mode/clike");
const cpp = async () => (await import("@codemirror/lang-cpp")).cpp();

const script = (typescript: boolean) => async () =>
  (await import("./javascript.js")).script(typescript);
const javascript = script(false);
const typescript = script(true);
const python = async () => (await import("@codemirror/lang-python")).python();

/** By the name of the runtime, or by the `editor_mode` of one that has another name. */
const LANGUAGES: Record<string, Loader> = {
  assembly: lines(async () => (await import("./assembly.js")).assembly),
  bash: lines(async () => (await import("@codemirror/legacy-modes/mode/shell")).shell),
  c: cpp,
  cpp,
  csharp: lines(async () => (await clike()).csharp),
  fortran: lines(async () => (await import("@codemirror/legacy-modes/mode/fortran")).fortran),
  go: async () => (await import("@codemirror/lang-go")).go(),
  haskell: lines(async () => (await import("@codemirror/legacy-modes/mode/haskell")).haskell),
  java: lines(async () => (await clike()).java),
  javascript,
  joy: python,
  julia: lines(async () => (await import("@codemirror/legacy-modes/mode/julia")).julia),
  kotlin: lines(async () => (await clike()).kotlin),
  lua: lines(async () => (await import("@codemirror/legacy-modes/mode/lua")).lua),
  mypy: python,
  ocaml: lines(async () => (await import("@codemirror/legacy-modes/mode/mllike")).oCaml),
  pascal: lines(async () => (await import("@codemirror/legacy-modes/mode/pascal")).pascal),
  perl: lines(async () => (await import("@codemirror/legacy-modes/mode/perl")).perl),
  php: lines(async () => (await import("./php.js")).php),
  python,
  r: lines(async () => (await import("@codemirror/legacy-modes/mode/r")).r),
  ruby: lines(async () => (await import("@codemirror/legacy-modes/mode/ruby")).ruby),
  rust: async () => (await import("@codemirror/lang-rust")).rust(),
  scala: lines(async () => (await clike()).scala),
  sql: lines(async () => (await import("@codemirror/legacy-modes/mode/sql")).sqlite),
  typescript,
};

const ALIASES: Record<string, string> = {
  asm: "assembly",
  gas: "assembly",
  nasm: "assembly",
  "c#": "csharp",
  "c++": "cpp",
  clike: "c",
  golang: "go",
  js: "javascript",
  node: "javascript",
  py: "python",
  python3: "python",
  rb: "ruby",
  sh: "bash",
  shell: "bash",
  sqlite: "sql",
  ts: "typescript",
};

/** The name of the language of a runtime, or of an `editor_mode`. */
export function languageNameOf(runtime: string): string {
  const name = runtime.toLowerCase().replace(/@.*$/, "").replace(/-canvas$/, "");
  return ALIASES[name] ?? name;
}

/** The CodeMirror extension for the language of a runtime; empty for an unknown language. */
export async function languageOf(runtime: string): Promise<Extension> {
  const language = languageNameOf(runtime);
  return Object.hasOwn(LANGUAGES, language) ? ((await LANGUAGES[language]?.()) ?? []) : [];
}
