/** The mark of a line in the editor, to which a message has led. It goes with the next change. */
import { StateField } from "@codemirror/state";
import { type DecorationSet } from "@codemirror/view";
/** Marks the line that begins at a position. */
export declare const markLine: import("@codemirror/state").StateEffectType<number>;
export declare const lineMark: StateField<DecorationSet>;
