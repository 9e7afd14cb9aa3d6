/**
 * Keeps what the user does in an editor from the page around it. Outside of the shadow root, all
 * its events seem to come from the element itself, which a page does not take for a text field: a
 * letter would be a shortcut of the page, and would turn the page of a presentation.
 */

/** Keys that type nothing and move nothing. The page may use them wherever the focus is. */
const KEYS_OF_PAGE = /^(Tab|F\d+|Shift|Control|Alt|AltGraph|Meta|CapsLock|ContextMenu|PrintScreen)$/;

/** Whether a key is for the page, because it types nothing and the editor has not used it. */
function isForPage(event: KeyboardEvent): boolean {
  if (event.defaultPrevented) return false;
  if (KEYS_OF_PAGE.test(event.key)) return true;
  // On some systems, Control and Alt together are AltGr, which types.
  const isTyping = event.altKey || event.getModifierState("AltGraph");
  return (event.ctrlKey || event.metaKey) && !isTyping;
}

/** Whether an element between the event's target and `root` can be scrolled as the wheel turns. */
function canScroll(event: WheelEvent, root: HTMLElement): boolean {
  const path = event.composedPath();
  return path.slice(0, path.indexOf(root)).some((part) => {
    if (!(part instanceof HTMLElement) || getComputedStyle(part).overflowY !== "auto") return false;
    const { scrollTop, scrollHeight, clientHeight } = part;
    const room = event.deltaY < 0 ? scrollTop : scrollHeight - clientHeight - scrollTop;
    return Math.abs(room) >= 1 && event.deltaY !== 0;
  });
}

/**
 * Stops the events at the element. Listeners of the element itself get them, and so do those that
 * listen in the capture phase.
 */
export function keepEvents(element: HTMLElement): void {
  for (const name of ["keydown", "keypress", "keyup"] as const) {
    element.addEventListener(name, (event) => {
      if (!isForPage(event)) event.stopPropagation();
    });
  }
  // A finger that scrolls the code does not turn the page either.
  const passive = { passive: true };
  element.addEventListener("touchmove", (event) => event.stopPropagation(), passive);
  element.addEventListener(
    "pointermove",
    (event) => void (event.pointerType === "touch" && event.stopPropagation()),
    passive,
  );
  element.addEventListener(
    "wheel",
    (event) => void (canScroll(event, element) && event.stopPropagation()),
    passive,
  );
}
