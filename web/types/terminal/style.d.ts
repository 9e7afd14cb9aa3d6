/** The looks of text on a terminal, as "select graphic rendition" sequences set them. */
export interface Style {
    /** Styles with the same key are equal. */
    key: string;
    /** The names of the style's classes, e.g. `red`, `bold`. */
    classes: string[];
    /** The exact colours, as `#rrggbb`, if the text has some that no class names. */
    foreground?: string | undefined;
    background?: string | undefined;
    /** The address to which the text links. */
    link?: string | undefined;
}
export declare const PLAIN: Style;
/** A colour for text on a background: `wanted` if that can be read there, or else black or white. */
export declare function readableOn(background: string, wanted?: string): string;
/** The state that the sequences of one output set. */
export declare class Rendition {
    #private;
    private readonly fileClass;
    /** `fileClass` is a class of all text, or empty. */
    constructor(fileClass?: string);
    get style(): Style;
    /** Sets the address to which the following text links. */
    set link(address: string | undefined);
    /** Applies the parameters of a sequence. */
    apply(parameters: string): void;
    /** Sets the initial state, except for the link. */
    reset(): void;
}
