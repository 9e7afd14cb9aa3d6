/** Selecting all of an element, and nothing beside it. */
/** Makes the browser's key for that select the content of `element` while that has the focus. */
export declare function selectAllWithin(element: HTMLElement): void;
