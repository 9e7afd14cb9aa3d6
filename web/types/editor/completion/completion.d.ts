/** Completes names while they are typed, and the names of modules and packages where one is imported. */
import { type Extension } from "@codemirror/state";
/** Gets the packages that the server has for the program's runtime. */
export type GetPackages = () => Promise<string[]>;
/**
 * The popup does not take Enter before the user has chosen something in it, since a line that is
 * finished ends with Enter. Tab takes the first name.
 */
export declare const completion: () => Extension;
/** Completes the names of modules in an import of a language. */
export declare function importCompletion(language: string, getPackages: GetPackages): Extension;
