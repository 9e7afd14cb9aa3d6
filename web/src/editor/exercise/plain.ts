/** Outputs without the white space that nobody sees. */

/** A text without the white space at the ends of its lines, and at its own end. */
export const plain = (text: string): string => text.replace(/[ \t\r]+$/gm, "").trimEnd();

/** Whether two outputs are the same but for such white space. */
export const isAsExpected = (output: string, expected: string): boolean =>
  plain(output) === plain(expected);
