/**
 * The marks of lines in the editor: the line to which a message has led, and the lines with errors
 * that the server tells. No line has two marks. A mark goes when its line is changed; the mark of
 * the line to which a message has led goes with any change.
 */
import { StateField } from "@codemirror/state";
import { type DecorationSet } from "@codemirror/view";
/** Marks the line that begins at a position. */
export declare const markLine: import("@codemirror/state").StateEffectType<number>;
/** An error or a warning, and the position at which its line begins. */
export interface ErrorMark {
    from: number;
    isWarning: boolean;
    message: string;
}
/** Marks a line with an error. */
export declare const markError: import("@codemirror/state").StateEffectType<ErrorMark>;
/** Removes the marks of all errors. */
export declare const clearErrors: import("@codemirror/state").StateEffectType<null>;
export declare const lineMarks: StateField<DecorationSet>[];
