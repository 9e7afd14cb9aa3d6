/** Tells the page around a frame how high the frame's content is. */
/**
 * Tells `parent` the height of an element, now and after each change. The message is that of LTI,
 * which course sites know. It says nothing but the height, so it is for whatever page is there.
 */
export declare function reportHeight(element: Element, parent: Window): void;
