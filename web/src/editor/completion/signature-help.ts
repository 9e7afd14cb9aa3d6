/**
 * Help for a call that is typed: the parameters of the function. The file with it is loaded with
 * the first call.
 */

import { Compartment, type EditorState, type Extension } from "@codemirror/state";
import { EditorView } from "@codemirror/view";

const LANGUAGES = new Set(["python", "joy", "javascript", "typescript"]);

const load = () => import("./signature-tooltip.js");

/** Whether the cursor may stand in a call. */
function isNearCall({ doc, selection }: EditorState): boolean {
  const { head } = selection.main;
  return doc.sliceString(Math.max(0, head - 200), head).includes("(");
}

/** Shows the parameters of functions of a language, and of those that a runtime has in scope. */
export function signatureHelp(language: string, runtime: string): Extension {
  if (!LANGUAGES.has(language)) return [];
  const place = new Compartment();
  let isLoading = false;
  const listener = EditorView.updateListener.of(({ docChanged, state, view }) => {
    if (!docChanged || isLoading || !view.hasFocus || !isNearCall(state)) return;
    isLoading = true;
    load().then(
      ({ signatureTooltip }) => {
        const effects = place.reconfigure(signatureTooltip(language, runtime));
        view.dispatch({ effects });
      },
      // The next call asks again.
      () => (isLoading = false),
    );
  });
  return [place.of([]), listener];
}
