/** Chooses the language of the interface, and loads its words, and no others. */

import { browser } from "../client/environment.js";
import { LANGUAGES, setWords, type Words, words } from "./words.js";

/** The key under which the browser keeps the language that the user has chosen on the page. */
const KEY = "livecode-lang";
const DEFAULT = "en";
/** The script tag of this server that names a language. */
const TAG = 'script[src*="/static/livecode"][data-lang]';

/** The language of the interface for a tag such as `de-AT`; undefined if there is none. */
function knownOf(tag: string | null | undefined): string | undefined {
  const language = tag?.toLowerCase().split("-")[0] ?? "";
  return Object.hasOwn(LANGUAGES, language) ? language : undefined;
}

/**
 * The language of the interface: the one that the page's script tag names in `data-lang`, or that
 * the user has chosen, or the first of the browser's that is known.
 */
export function chooseLanguage(): string {
  const tag = document.querySelector<HTMLElement>(TAG)?.dataset.lang;
  const own = [tag, browser().lasting.getItem(KEY), ...navigator.languages];
  return own.map(knownOf).find((known) => known !== undefined) ?? DEFAULT;
}

/** Keeps the language that the user has chosen for the next time. */
export function storeLanguage(language: string): void {
  browser().lasting.setItem(KEY, language);
}

/** The tag by which numbers and times are formatted: the browser's own one of the language. */
export const locale = (): string =>
  (globalThis.navigator?.languages ?? []).find((tag) => knownOf(tag) === words.lang) ?? words.lang;

/**
 * Loads the words. All parts of a page share them, since they are one module, whose address is
 * beside that of this script. If they do not come, they are asked for once more in English.
 */
export async function loadWords(): Promise<void> {
  const folder = import.meta.url.replace(/[^/]*$/, "");
  const load = async (language: string) => {
    const url = `${folder}livecode-words-${language}.js`;
    setWords(((await import(/* @vite-ignore */ url)) as { default: Words }).default);
  };
  await load(chooseLanguage()).catch(() => load(DEFAULT));
}
