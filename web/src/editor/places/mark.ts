/** The mark of a line in the editor, to which a message has led. It goes with the next change. */

import { StateEffect, StateField } from "@codemirror/state";
import { Decoration, type DecorationSet, EditorView } from "@codemirror/view";

/** Marks the line that begins at a position. */
export const markLine = StateEffect.define<number>();

const LINE = Decoration.line({ class: "cm-marked" });

export const lineMark = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(marks, { docChanged, effects }) {
    const effect = effects.find((one) => one.is(markLine));
    if (effect) return Decoration.set([LINE.range(effect.value)]);
    return docChanged ? Decoration.none : marks;
  },
  provide: (field) => EditorView.decorations.from(field),
});
