/** Lines of the code that users cannot change. */

import { EditorState, type Extension, StateEffect, StateField } from "@codemirror/state";
import { Decoration, type DecorationSet, EditorView } from "@codemirror/view";
import { words } from "../../words/words.js";
import type { FixedLines } from "./parts.js";

/** Fixes these lines, from 1, and no others. */
export const fixLines = StateEffect.define<number[]>();

function decorate({ doc }: EditorState, lines: number[]): DecorationSet {
  const line = Decoration.line({ class: "cm-fixed", attributes: { title: words.fixedLine } });
  const known = lines.filter((number) => number >= 1 && number <= doc.lines);
  return Decoration.set(known.map((number) => line.range(doc.line(number).from)));
}

const fixedLines = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(marks, { changes, effects, state }) {
    const effect = effects.find((one) => one.is(fixLines));
    return effect ? decorate(state, effect.value) : marks.map(changes);
  },
  provide: (field) => EditorView.decorations.from(field),
});

/** Refuses changes of fixed lines. New lines may be added before and behind them. */
const filter = EditorState.changeFilter.of(({ startState, changes }) => {
  const marks = startState.field(fixedLines);
  let isAllowed = true;
  changes.iterChanges((from, to, _from, _to, inserted) => {
    marks.between(startState.doc.lineAt(from).from, to, (at) => {
      const line = startState.doc.lineAt(at);
      if (from > line.to || to < line.from) return;
      const text = inserted.toString();
      const isBehind = from === to && from === line.to && text.startsWith("\n");
      const isBefore = from === to && from === line.from && text.endsWith("\n");
      isAllowed &&= isBehind || isBefore;
    });
  });
  return isAllowed;
});

/** The extension for a file with such lines. */
export function fixed(lines: FixedLines | undefined): Extension {
  if (lines === "all") return EditorState.readOnly.of(true);
  if (!lines) return [];
  return [fixedLines.init((state) => decorate(state, lines)), filter];
}
