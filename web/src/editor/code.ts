/** The source editor: CodeMirror, with the few extensions that a beginner needs. */

import { closeBrackets, closeBracketsKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import {
  bracketMatching,
  indentOnInput,
  indentUnit,
  syntaxHighlighting,
} from "@codemirror/language";
import { Compartment, EditorState, type Extension } from "@codemirror/state";
import { EditorView, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { classHighlighter } from "@lezer/highlight";
import { words } from "../words/words.js";
import { completion, type GetPackages, importCompletion } from "./completion/completion.js";
import { languageNameOf, languageOf } from "./languages.js";
import { lineMark, markLine } from "./places/mark.js";

export interface CodeEditorOptions {
  /** The element that contains the editor. */
  parent: Element;
  /** The shadow root of `parent`. */
  root: ShadowRoot;
  /** The texts by file name. The first file is shown. */
  files: Map<string, string>;
  /** The language: the name of a runtime, or its `editor_mode`. */
  language: string;
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
  readonly #extensions: Extension[];
  /** The extension of the language that is highlighted. */
  #highlighting: Extension = [];
  /** The name of the shown file. */
  #name: string;
  #runtime = "";
  readonly #getPackages: GetPackages;

  constructor({ parent, root, files, language, getPackages, onRun, onChange }: CodeEditorOptions) {
    this.#getPackages = getPackages;
    this.#extensions = [
      lineNumbers(),
      history(),
      indentOnInput(),
      indentUnit.of("    "),
      bracketMatching(),
      closeBrackets(),
      completion(),
      highlightActiveLine(),
      syntaxHighlighting(classHighlighter),
      EditorView.lineWrapping,
      lineMark,
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
    this.open(files);
    void this.setLanguage(language);
  }

  /** Shows other files in place of all files. What was done to those cannot be undone in these. */
  open(files: Map<string, string>): void {
    this.#states.clear();
    const extensions = [...this.#extensions, this.#language.of(this.#highlighting)];
    for (const [name, doc] of files) {
      this.#states.set(name, EditorState.create({ doc, extensions }));
    }
    this.#name = [...files.keys()][0] ?? "";
    this.#view.setState(this.#states.get(this.#name) ?? EditorState.create({ extensions }));
  }

  /** Highlights the language of a runtime. The texts can be edited while the language loads. */
  async setLanguage(runtime: string): Promise<void> {
    this.#runtime = runtime;
    const highlighting = await languageOf(runtime);
    // Another call may have set another runtime meanwhile.
    if (this.#runtime !== runtime) return;
    const imports = importCompletion(languageNameOf(runtime), this.#getPackages);
    this.#highlighting = [highlighting, imports];
    const effects = this.#language.reconfigure(this.#highlighting);
    this.#storeShownState();
    for (const [name, state] of this.#states) {
      if (name !== this.#name) this.#states.set(name, state.update({ effects }).state);
    }
    this.#view.dispatch({ effects });
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

  /** Replaces the text of a file, if there is one of this name, and shows it. The user can undo this. */
  set(name: string, text: string): void {
    this.show(name);
    if (this.#name !== name) return;
    const changes = { from: 0, to: this.#view.state.doc.length, insert: text };
    this.#view.dispatch({ changes });
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

  focus(): void {
    this.#view.focus();
  }

  destroy(): void {
    this.#view.destroy();
  }

  #storeShownState(): void {
    this.#states.set(this.#name, this.#view.state);
  }
}
