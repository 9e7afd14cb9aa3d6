/** A button with a menu, which lies above the page and needs no room in the editor. */
export interface MenuItem {
    /** Tells what the item does, as it is when the menu opens. */
    text: () => string;
    act: () => void;
    /** Whether the item is switched on, of one that can be. */
    isOn?: () => boolean;
    /** Whether the item can be chosen now; without this, always. */
    isEnabled?: () => boolean;
    /** Whether the menu stays open, because the item may be chosen several times in a row. */
    isRepeated?: boolean;
}
export declare class Menu {
    #private;
    readonly button: HTMLButtonElement;
    readonly element: HTMLElement;
    /** `items` are the groups of the menu, with a line between two. */
    constructor(label: string, groups: MenuItem[][]);
}
