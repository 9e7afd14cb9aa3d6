/** Selecting all of an element, and nothing beside it. */

/** Makes the browser's key for that select the content of `element` while that has the focus. */
export function selectAllWithin(element: HTMLElement): void {
  element.addEventListener("keydown", (event) => {
    const isSelectAll = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "a";
    if (!isSelectAll || event.shiftKey || event.altKey) return;
    event.preventDefault();
    // In Chromium the selection of a shadow root is an object of its own.
    const root = element.getRootNode() as ShadowRoot & { getSelection?(): Selection | null };
    (root.getSelection?.() ?? getSelection())?.selectAllChildren(element);
  });
}
