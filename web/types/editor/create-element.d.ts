/** Creates an element with its attributes and children. */
export declare function createElement<K extends keyof HTMLElementTagNameMap>(tag: K, attributes?: Record<string, string>, ...children: (Node | string)[]): HTMLElementTagNameMap[K];
/** Creates a button with a class. */
export declare function createButton(name: string, text: string, onClick: () => void): HTMLButtonElement;
