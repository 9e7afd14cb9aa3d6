/** The words of the interface in the language that is shown. They are set before anything is shown. */

import type { Words } from "./en.js";

export type { Words } from "./en.js";

/** The languages by their tags, each with its own name. Each is a file of its own. */
export const LANGUAGES = { en: "English", de: "Deutsch", es: "Español" } as const;

export let words: Words;

export function setWords(chosen: Words): void {
  words = chosen;
}
