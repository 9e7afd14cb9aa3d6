/** Numbers in sentences, for the languages of the interface. */
/** The forms of a word that a language has: `other`, and further ones as Intl.PluralRules names them. */
export type Forms = Partial<Record<Intl.LDMLPluralRule, string>> & {
    other: string;
};
/** Returns a function that gives a number with the form of a word that goes with it: "2 files". */
export declare function pluralOf(language: string): (count: number, forms: Forms) => string;
