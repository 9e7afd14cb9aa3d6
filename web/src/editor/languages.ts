/**
 * The languages of the runtimes. Each is a file of its own, which is loaded for the first program
 * in that language.
 */

import { StreamLanguage } from "@codemirror/language";
import type { Extension } from "@codemirror/state";

const cpp = async () => (await import("@codemirror/lang-cpp")).cpp();
const javascript = async () => (await import("@codemirror/lang-javascript")).javascript();
const python = async () => (await import("@codemirror/lang-python")).python();

const LANGUAGES: Record<string, () => Promise<Extension>> = {
  bash: async () =>
    StreamLanguage.define((await import("@codemirror/legacy-modes/mode/shell")).shell),
  c: cpp,
  cpp,
  go: async () => (await import("@codemirror/lang-go")).go(),
  javascript,
  joy: python,
  mypy: python,
  python,
  rust: async () => (await import("@codemirror/lang-rust")).rust(),
};

const ALIASES: Record<string, string> = {
  golang: "go",
  js: "javascript",
  node: "javascript",
  py: "python",
  python3: "python",
  "c++": "cpp",
  sh: "bash",
};

/** The CodeMirror extension for the language of a runtime; empty for an unknown language. */
export async function languageOf(runtime: string): Promise<Extension> {
  const name = runtime.toLowerCase().replace(/-canvas$/, "");
  const language = ALIASES[name] ?? name;
  return Object.hasOwn(LANGUAGES, language) ? ((await LANGUAGES[language]?.()) ?? []) : [];
}
