/** Puts the words of the interface into the page, whose HTML has those in English. */
/** Sets the language of the page, and its words if it is not English, which they are already. */
export declare function translatePage(): void;
/** Fills the list of the languages. Another one is shown after the page has been loaded again. */
export declare function fillLanguages(picker: HTMLSelectElement): void;
