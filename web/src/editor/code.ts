/** The place to write in: CodeMirror, with what a beginner needs and no more. */

import { closeBrackets, closeBracketsKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { bracketMatching, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { Compartment, EditorState } from "@codemirror/state";
import { EditorView, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { classHighlighter } from "@lezer/highlight";
import { languageOf } from "./languages.js";

export class Code {
  readonly #view: EditorView;
  readonly #states = new Map<string, EditorState>();
  readonly #language = new Compartment();
  #name: string;
  #runtime = "";

  /** `files` are texts by their names; the first is shown. */
  constructor(parent: Element, root: ShadowRoot, files: Map<string, string>, runtime: string, run: () => void, changed: () => void) {
    const extensions = [
      lineNumbers(),
      history(),
      indentOnInput(),
      indentUnit.of("    "),
      bracketMatching(),
      closeBrackets(),
      highlightActiveLine(),
      syntaxHighlighting(classHighlighter),
      EditorView.lineWrapping,
      EditorView.contentAttributes.of({
        "aria-label": "Code",
        "aria-description": "Tab indents. To leave with the keyboard, press Escape and then Tab. Control or Command with Enter runs.",
      }),
      keymap.of([
        { key: "Mod-Enter", preventDefault: true, run: () => (run(), true) },
        ...closeBracketsKeymap,
        ...defaultKeymap,
        ...historyKeymap,
        indentWithTab,
      ]),
      EditorView.updateListener.of((update) => void (update.docChanged && changed())),
      this.#language.of([]),
    ];
    for (const [name, doc] of files) this.#states.set(name, EditorState.create({ doc, extensions }));
    this.#name = [...files.keys()][0] ?? "";
    this.#view = new EditorView({ parent, root, state: this.#states.get(this.#name) ?? EditorState.create() });
    void this.speak(runtime);
  }

  /** Highlights a runtime's language. The text can be written before that is there. */
  async speak(runtime: string): Promise<void> {
    this.#runtime = runtime;
    const effects = this.#language.reconfigure(await languageOf(runtime));
    if (this.#runtime !== runtime) return;
    this.#keep();
    for (const [name, state] of this.#states) if (name !== this.#name) this.#states.set(name, state.update({ effects }).state);
    this.#view.dispatch({ effects });
  }

  /** Shows another file. */
  show(name: string): void {
    this.#keep();
    const state = this.#states.get(name);
    if (!state) return;
    this.#name = name;
    this.#view.setState(state);
  }

  /** The texts by their names, as they stand. */
  texts(): Map<string, string> {
    this.#keep();
    return new Map([...this.#states].map(([name, state]) => [name, state.doc.toString()]));
  }

  /** Replaces a text; it can be undone. */
  set(name: string, text: string): void {
    this.show(name);
    this.#view.dispatch({ changes: { from: 0, to: this.#view.state.doc.length, insert: text } });
  }

  destroy(): void {
    this.#view.destroy();
  }

  #keep(): void {
    this.#states.set(this.#name, this.#view.state);
  }
}
