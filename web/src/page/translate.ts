/** Puts the words of the interface into the page, whose HTML has those in English. */

import { storeLanguage } from "../words/choose.js";
import { LANGUAGES, type Words, words } from "../words/words.js";

/** The attributes of the HTML that name a word, and the attribute that gets it; empty for the text. */
const PLACES = {
  "data-word": "",
  "data-word-label": "aria-label",
  "data-word-content": "content",
} as const;

/** Sets the language of the page, and its words if it is not English, which they are already. */
export function translatePage(): void {
  const { documentElement: root } = document;
  if (root.lang === words.lang) return;
  root.lang = words.lang;
  for (const [name, target] of Object.entries(PLACES)) {
    for (const element of document.querySelectorAll(`[${name}]`)) {
      const text = String(words[element.getAttribute(name) as keyof Words]);
      if (target) element.setAttribute(target, text);
      else element.textContent = text;
    }
  }
}

/** Fills the list of the languages. Another one is shown after the page has been loaded again. */
export function fillLanguages(picker: HTMLSelectElement): void {
  for (const [tag, name] of Object.entries(LANGUAGES)) {
    const option = new Option(name, tag, false, tag === words.lang);
    option.lang = tag;
    picker.append(option);
  }
  picker.disabled = false;
  picker.addEventListener("change", () => {
    storeLanguage(picker.value);
    location.reload();
  });
}
