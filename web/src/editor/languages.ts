/** The languages of the runtimes, each in a file of its own that is loaded when a program is written in it. */

import { StreamLanguage } from "@codemirror/language";
import type { Extension } from "@codemirror/state";

const cpp = async () => (await import("@codemirror/lang-cpp")).cpp();
const javascript = async () => (await import("@codemirror/lang-javascript")).javascript();
const python = async () => (await import("@codemirror/lang-python")).python();

const LANGUAGES: Record<string, () => Promise<Extension>> = {
  bash: async () => StreamLanguage.define((await import("@codemirror/legacy-modes/mode/shell")).shell),
  c: cpp,
  cpp,
  go: async () => (await import("@codemirror/lang-go")).go(),
  javascript,
  joy: python,
  mypy: python,
  python,
  rust: async () => (await import("@codemirror/lang-rust")).rust(),
};

const ALIASES: Record<string, string> = { golang: "go", js: "javascript", node: "javascript", py: "python", python3: "python", "c++": "cpp", sh: "bash" };

/** What CodeMirror needs for a runtime's language; nothing where it has none for it. */
export async function languageOf(runtime: string): Promise<Extension> {
  const name = runtime.toLowerCase().replace(/-canvas$/, "");
  const known = ALIASES[name] ?? name;
  return Object.hasOwn(LANGUAGES, known) ? ((await LANGUAGES[known]?.()) ?? []) : [];
}
