/**
 * Keeps what the user does in an editor from the page around it. Outside of the shadow root, all
 * its events seem to come from the element itself, which a page does not take for a text field: a
 * letter would be a shortcut of the page, and would turn the page of a presentation.
 */
/**
 * Stops the events at the element. Listeners of the element itself get them, and so do those that
 * listen in the capture phase.
 */
export declare function keepEvents(element: HTMLElement): void;
