/** The output as plain text, as it is copied and downloaded. The file is loaded with the first run. */
/** The text of an output. A table, and the note that something is missing, begin with a line. */
export declare function plainTextOf(output: Element): string;
/**
 * Copies a text. Browsers allow the clipboard's interface only to pages that were loaded over TLS or
 * from loopback, and to frames whose page allows it; elsewhere a text field of `root` is copied.
 */
export declare function copy(text: string, place: HTMLElement): Promise<boolean>;
/** Saves a text as a file. */
export declare function download(name: string, text: string): void;
