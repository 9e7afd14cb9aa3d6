/** The snippets of a page on which another one builds: their code runs before its own. */
/** An editor in a page. */
interface Snippet extends HTMLElement {
    /** The texts by file name, the first of which runs. */
    readonly files: Map<string, string>;
}
/** What runs before the first file of a snippet. */
export interface Before {
    /** The code, which is empty or ends with a line break. */
    code: string;
    /** Further files, by name. */
    files: Map<string, string>;
}
/** Makes a snippet known to those that build on it. */
export declare function addSnippet(snippet: Snippet, setup: string): void;
export declare function removeSnippet(snippet: Snippet): void;
/** All snippets that are in the page. */
export declare const allSnippets: <T extends Snippet>() => T[];
/**
 * What runs before a snippet: the snippets on which it builds, directly or not, each once and
 * after those on which it builds itself, and the snippet's own setup. Nothing runs before itself,
 * also if snippets build on each other in a circle.
 */
export declare function beforeOf(snippet: Snippet): Before;
export {};
