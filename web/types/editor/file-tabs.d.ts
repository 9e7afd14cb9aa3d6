/** The tabs by which one of several files is chosen. */
export declare class FileTabs {
    #private;
    /** The element that shows the chosen file. */
    private readonly panel;
    private readonly onChoose;
    readonly element: HTMLDivElement;
    constructor(
    /** The element that shows the chosen file. */
    panel: Element, onChoose: (name: string) => void);
    /** Shows the tabs of these files. A single file needs none. */
    set(names: string[]): void;
    /** Chooses the file with this name, if there is one. */
    chooseNamed(name: string): void;
    /** Chooses the file with this index. */
    choose(index: number): void;
}
