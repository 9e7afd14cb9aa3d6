/** The parameters of the function in whose call the cursor stands, beside the call. */
import { type Extension } from "@codemirror/state";
/** Shows the parameters of functions of a language, and of those that a runtime has in scope. */
export declare function signatureTooltip(language: string, runtime: string): Extension;
