/** PHP, of which CodeMirror has no small grammar: the words of PHP in the grammar of C. */
export declare const php: import("@codemirror/streamparser").StreamParser<unknown>;
