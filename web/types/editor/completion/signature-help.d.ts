/**
 * Help for a call that is typed: the parameters of the function. The file with it is loaded with
 * the first call.
 */
import { type Extension } from "@codemirror/state";
/** Shows the parameters of functions of a language, and of those that a runtime has in scope. */
export declare function signatureHelp(language: string, runtime: string): Extension;
