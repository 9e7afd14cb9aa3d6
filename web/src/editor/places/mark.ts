/**
 * The marks of lines in the editor: the line to which a message has led, and the lines with errors
 * that the server tells. No line has two marks. A mark goes when its line is changed; the mark of
 * the line to which a message has led goes with any change.
 */

import { StateEffect, StateField, type Text, type Transaction } from "@codemirror/state";
import { Decoration, type DecorationSet, EditorView } from "@codemirror/view";

/** Marks the line that begins at a position. */
export const markLine = StateEffect.define<number>();

/** An error or a warning, and the position at which its line begins. */
export interface ErrorMark {
  from: number;
  isWarning: boolean;
  message: string;
}

/** Marks a line with an error. */
export const markError = StateEffect.define<ErrorMark>();

/** Removes the marks of all errors. */
export const clearErrors = StateEffect.define<null>();

const LINE = Decoration.line({ class: "cm-marked" });

const errorLine = ({ isWarning, message }: ErrorMark) =>
  Decoration.line({
    class: isWarning ? "cm-marked cm-warned" : "cm-marked",
    attributes: { title: message },
  });

const isMarked = (marks: DecorationSet, at: number) => {
  let found = false;
  marks.between(at, at, () => !(found = true));
  return found;
};

/** Removes the marks of the lines that a transaction has changed. */
function withoutChanged(marks: DecorationSet, { changes, newDoc }: Transaction): DecorationSet {
  const changed: [from: number, to: number][] = [];
  changes.iterChangedRanges((_fromA, _toA, from, to) => changed.push([from, to]));
  const isUntouched = (at: number, doc: Text) => {
    const line = doc.lineAt(at);
    return !changed.some(([from, to]) => from <= line.to && (to > line.from || from >= line.from));
  };
  return marks.map(changes).update({ filter: (from) => isUntouched(from, newDoc) });
}

const errorMarks = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(before, transaction) {
    let marks = transaction.docChanged ? withoutChanged(before, transaction) : before;
    for (const effect of transaction.effects) {
      if (effect.is(clearErrors)) marks = Decoration.none;
      if (!effect.is(markError) || isMarked(marks, effect.value.from)) continue;
      marks = marks.update({ add: [errorLine(effect.value).range(effect.value.from)] });
    }
    return marks;
  },
  provide: (field) => EditorView.decorations.from(field),
});

const reachedLine = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(marks, { docChanged, effects, state }) {
    const effect = effects.find((one) => one.is(markLine));
    if (!effect) return docChanged ? Decoration.none : marks;
    const hasError = isMarked(state.field(errorMarks), effect.value);
    return hasError ? Decoration.none : Decoration.set([LINE.range(effect.value)]);
  },
  provide: (field) => EditorView.decorations.from(field),
});

export const lineMarks = [errorMarks, reachedLine];
