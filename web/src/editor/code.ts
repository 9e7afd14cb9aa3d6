/** The source editor: CodeMirror, with the few extensions that a beginner needs. */

import { closeBrackets, closeBracketsKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import {
  bracketMatching,
  indentOnInput,
  indentUnit,
  syntaxHighlighting,
} from "@codemirror/language";
import { Compartment, EditorState, type Extension, type StateEffect } from "@codemirror/state";
import { EditorView, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { classHighlighter } from "@lezer/highlight";
import { words } from "../words/words.js";
import { completion, type GetPackages, importCompletion } from "./completion/completion.js";
import { fixed, fixLines } from "./exercise/fixed-lines.js";
import type { FixedLines } from "./exercise/parts.js";
import { signatureHelp } from "./completion/signature-help.js";
import { languageNameOf, languageOf } from "./languages.js";
import { clearErrors, lineMarks, markError, markLine } from "./places/mark.js";

export interface CodeEditorOptions {
  /** The element that contains the editor. */
  parent: Element;
  /** The shadow root of `parent`. */
  root: ShadowRoot;
  /** The texts by file name. The first file is shown. */
  files: Map<string, string>;
  /** The lines that users cannot change, by file name. */
  fixed: Map<string, FixedLines>;
  /** The language: the name of a runtime, or its `editor_mode`. */
  language: string;
  runtime: string;
  /** Gets the packages that the program can import. */
  getPackages: GetPackages;
  /** Called when the user presses the key to run the program. */
  onRun: () => void;
  /** Called after each change of a text. */
  onChange: () => void;
}

export class CodeEditor {
  readonly #view: EditorView;
  /** The states of the files that are not shown; that of the shown file may be outdated. */
  readonly #states = new Map<string, EditorState>();
  readonly #language = new Compartment();
  readonly #numbers = new Compartment();
  /** The number of lines that run before those of the first file. */
  #linesBefore = 0;
  readonly #extensions: Extension[];
  /** The extension of the language that is highlighted. */
  #highlighting: Extension = [];
  /** The name of the shown file. */
  #name: string;
  #runtime = "";
  readonly #getPackages: GetPackages;

  constructor(options: CodeEditorOptions) {
    const { parent, root, files, language, runtime, getPackages, onRun, onChange } = options;
    this.#getPackages = getPackages;
    this.#extensions = [
      this.#numbers.of(this.#lineNumbers()),
      history(),
      indentOnInput(),
      indentUnit.of("    "),
      bracketMatching(),
      closeBrackets(),
      completion(),
      highlightActiveLine(),
      syntaxHighlighting(classHighlighter),
      EditorView.lineWrapping,
      lineMarks,
      EditorView.contentAttributes.of({
        "aria-label": words.code,
        "aria-description": words.codeHelp,
      }),
      keymap.of([
        { key: "Mod-Enter", preventDefault: true, run: () => (onRun(), true) },
        ...closeBracketsKeymap,
        ...defaultKeymap,
        ...historyKeymap,
        indentWithTab,
      ]),
      EditorView.updateListener.of((update) => void (update.docChanged && onChange())),
    ];
    this.#name = "";
    this.#view = new EditorView({ parent, root });
    this.open(files, options.fixed);
    void this.setLanguage(language, runtime);
  }

  /** Shows other files in place of all files. What was done to those cannot be undone in these. */
  open(files: Map<string, string>, fixedLines = new Map<string, FixedLines>()): void {
    this.#states.clear();
    const extensions = [...this.#extensions, this.#language.of(this.#highlighting)];
    for (const [name, doc] of files) {
      const own = [extensions, fixed(fixedLines.get(name))];
      this.#states.set(name, EditorState.create({ doc, extensions: own }));
    }
    this.#name = [...files.keys()][0] ?? "";
    this.#view.setState(this.#states.get(this.#name) ?? EditorState.create({ extensions }));
  }

  /** Highlights a language of a runtime. The texts can be edited while the language loads. */
  async setLanguage(language: string, runtime: string): Promise<void> {
    this.#runtime = runtime;
    const highlighting = await languageOf(language);
    // Another call may have set another runtime meanwhile.
    if (this.#runtime !== runtime) return;
    const name = languageNameOf(language);
    const imports = importCompletion(name, this.#getPackages);
    this.#highlighting = [highlighting, imports, signatureHelp(name, runtime)];
    const effects = this.#language.reconfigure(this.#highlighting);
    for (const name of this.#states.keys()) this.#applyTo(name, effects);
  }

  /** Shows another file. */
  show(name: string): void {
    this.#storeShownState();
    const state = this.#states.get(name);
    if (!state) return;
    this.#name = name;
    this.#view.setState(state);
  }

  /** The current texts by file name. */
  texts(): Map<string, string> {
    this.#storeShownState();
    return new Map([...this.#states].map(([name, state]) => [name, state.doc.toString()]));
  }

  /**
   * Replaces the text of a file, if there is one of this name, and shows it. The user can undo
   * this. `lines` are those that users cannot change.
   */
  set(name: string, text: string, lines: FixedLines = []): void {
    this.show(name);
    if (this.#name !== name) return;
    const changes = { from: 0, to: this.#view.state.doc.length, insert: text };
    const effects = lines === "all" ? [] : fixLines.of(lines);
    this.#view.dispatch({ changes, effects, filter: false });
  }

  /** Sets how many lines run before those of the first file, whose numbers follow on them. */
  setLinesBefore(count: number): void {
    if (count === this.#linesBefore) return;
    this.#linesBefore = count;
    this.#view.dispatch({ effects: this.#numbers.reconfigure(this.#lineNumbers()) });
  }

  #lineNumbers(): Extension {
    const isFirst = () => this.#name === ([...this.#states.keys()][0] ?? "");
    const formatNumber = (line: number) => String(isFirst() ? line + this.#linesBefore : line);
    return lineNumbers({ formatNumber });
  }

  /**
   * Moves the cursor to a place in the shown file, and marks its line. Both numbers begin with 1.
   * A place behind the end of the file, or of its line, becomes that end.
   */
  goTo(line: number, column = 1): void {
    const { doc } = this.#view.state;
    const { from, to } = doc.line(Math.min(Math.max(line, 1), doc.lines));
    const anchor = Math.min(from + Math.max(column - 1, 0), to);
    const effects = [markLine.of(from), EditorView.scrollIntoView(anchor, { y: "center" })];
    this.#view.dispatch({ selection: { anchor }, effects });
    this.#view.focus();
  }

  /**
   * Marks a line with an error or a warning, if the program has the line. A file of another name
   * is the first one, to which the page has given no name.
   */
  markError(file: string, line: number, message: string, isWarning: boolean): void {
    this.#storeShownState();
    const name = this.#states.has(file) ? file : ([...this.#states.keys()][0] ?? "");
    const doc = this.#states.get(name)?.doc;
    if (!doc || !(line >= 1 && line <= doc.lines)) return;
    this.#applyTo(name, markError.of({ from: doc.line(line).from, isWarning, message }));
  }

  /** Removes the marks of errors from all files. */
  clearErrors(): void {
    for (const name of this.#states.keys()) this.#applyTo(name, clearErrors.of(null));
  }

  focus(): void {
    this.#view.focus();
  }

  /** Applies an effect to a file, whether it is shown or not. */
  #applyTo(name: string, effects: StateEffect<unknown>): void {
    const state = this.#states.get(name);
    if (name === this.#name) this.#view.dispatch({ effects });
    else if (state) this.#states.set(name, state.update({ effects }).state);
  }

  #storeShownState(): void {
    this.#states.set(this.#name, this.#view.state);
  }
}
