/** Outputs without the white space that nobody sees. */
/** A text without the white space at the ends of its lines, and at its own end. */
export declare const plain: (text: string) => string;
/** Whether two outputs are the same but for such white space. */
export declare const isAsExpected: (output: string, expected: string) => boolean;
