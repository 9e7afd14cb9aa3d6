/** Chooses the language of the interface, and loads its words, and no others. */
/**
 * The language of the interface: the one that the page's script tag names in `data-lang`, or that
 * the user has chosen, or the first of the browser's that is known.
 */
export declare function chooseLanguage(): string;
/** Keeps the language that the user has chosen for the next time. */
export declare function storeLanguage(language: string): void;
/** The tag by which numbers and times are formatted: the browser's own one of the language. */
export declare const locale: () => string;
/**
 * Loads the words. All parts of a page share them, since they are one module, whose address is
 * beside that of this script. If they do not come, they are asked for once more in English.
 */
export declare function loadWords(): Promise<void>;
