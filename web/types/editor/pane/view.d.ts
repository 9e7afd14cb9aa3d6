/** How the user wants to see code and output. The browser remembers it for all editors of a site. */
/** The least and the greatest part of the width that the code has beside the output, in percent. */
export declare const MIN_CODE_PERCENT = 15;
export declare const MAX_CODE_PERCENT = 85;
export interface View {
    /** The size of the type, as an index of `SCALES`. */
    size: number;
    /** Whether long lines of the output continue in the next line. */
    isWrapping: boolean;
    /** The part of the width that the code has beside the output, in percent, if it was chosen. */
    codePercent?: number | undefined;
}
/** The view that the browser remembers. Whatever else is stored there counts as nothing. */
export declare function readView(): View;
/** Remembers a part of the view, and leaves what another editor has set. */
export declare function storeView(part: Partial<View>): void;
/** The size of the type as a multiple of the page's. */
export declare const scaleOf: ({ size }: View) => number;
/** The index of the next larger or smaller size, or of the same one at the end. */
export declare const sizeBeside: ({ size }: View, step: 1 | -1) => number;
