/** Completes names while they are typed, and the names of modules and packages where one is imported. */

import {
  acceptCompletion,
  autocompletion,
  type Completion,
  type CompletionContext,
  completionKeymap,
  type CompletionResult,
  completionStatus,
  moveCompletionSelection,
  selectedCompletion,
} from "@codemirror/autocomplete";
import { EditorState, type Extension, Prec } from "@codemirror/state";
import { type EditorView, keymap } from "@codemirror/view";
import { words } from "../../words/words.js";

/** The languages in which the names of modules are completed. */
const PYTHON = ["python", "joy", "mypy"];
const SCRIPT = ["javascript", "typescript"];
/** Text before the cursor where the name of a module of Python is expected. */
const PYTHON_IMPORT = /^[ \t]*(?:from[ \t]+|import[ \t]+(?:[\w.]+(?:[ \t]+as[ \t]+\w+)?[ \t]*,[ \t]*)*)[\w.]*$/;
/** Text before the cursor in the string that names a module of JavaScript. */
const SCRIPT_IMPORT = /\b(?:from|import|require[ \t]*\(|import[ \t]*\()[ \t]*["'][\w@/.:-]*$/;

/** Gets the packages that the server has for the program's runtime. */
export type GetPackages = () => Promise<string[]>;

/**
 * The popup does not take Enter before the user has chosen something in it, since a line that is
 * finished ends with Enter. Tab takes the first name.
 */
export const completion = (): Extension => [
  autocompletion({ selectOnOpen: false, icons: false, defaultKeymap: false }),
  // Where the browser's user has chosen none, Tab takes the first.
  Prec.high(keymap.of([{ key: "Tab", run: acceptFirst }, ...completionKeymap])),
  EditorState.phrases.of({ Completions: words.completions }),
];

function acceptFirst(view: EditorView): boolean {
  if (completionStatus(view.state) !== "active") return false;
  if (!selectedCompletion(view.state)) moveCompletionSelection(true)(view);
  return acceptCompletion(view);
}

/** Completes the names of modules in an import of a language. */
export function importCompletion(language: string, getPackages: GetPackages): Extension {
  const isScript = SCRIPT.includes(language);
  if (!isScript && !PYTHON.includes(language)) return [];
  const [expected, name] = isScript
    ? [SCRIPT_IMPORT, /[\w@/.:-]*$/]
    : [PYTHON_IMPORT, /[\w.]*$/];
  const source = async (context: CompletionContext): Promise<CompletionResult | null> => {
    const line = context.state.doc.lineAt(context.pos);
    if (!expected.test(line.text.slice(0, context.pos - line.from))) return null;
    const from = context.matchBefore(name)?.from ?? context.pos;
    // Without an answer of the server no names of modules are known.
    const modules = await import("./modules.js").catch(() => undefined);
    const own = modules?.[isScript ? "SCRIPT_MODULES" : "PYTHON_MODULES"] ?? [];
    const all = new Set([...own, ...(await getPackages())]);
    const options = [...all].sort().map((label): Completion => ({ label, type: "namespace", boost: 50 }));
    return { from, options, validFor: name };
  };
  return EditorState.languageData.of(() => [{ autocomplete: source }]);
}
