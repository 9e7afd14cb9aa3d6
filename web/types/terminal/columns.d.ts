/** How many columns of a terminal a text takes, as terminals count them. */
export interface Character {
    text: string;
    columns: number;
}
/** Whether each UTF-16 code unit of a text is known to be a character of one column. */
export declare const isNarrow: (text: string) => boolean;
/** A character with those that combine with it. A program may write any number of them. */
export declare function combine(character: string, marks: string): string;
/** The characters of a text, each with those that combine with it. */
export declare function charactersOf(text: string): Character[];
/** The longest beginning of a text that takes at most `max` columns, and its columns. */
export declare function takeColumns(text: string, max: number): Character;
