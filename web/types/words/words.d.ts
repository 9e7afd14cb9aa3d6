/** The words of the interface in the language that is shown. They are set before anything is shown. */
import type { Words } from "./en.js";
export type { Words } from "./en.js";
/** The languages by their tags, each with its own name. Each is a file of its own. */
export declare const LANGUAGES: {
    readonly en: "English";
    readonly de: "Deutsch";
    readonly es: "Español";
};
export declare let words: Words;
export declare function setWords(chosen: Words): void;
