/** Tells the page around a frame how high the frame's content is. */

/** The largest height that is asked for, in pixels. */
const MAX_HEIGHT_PX = 4000;

/**
 * Tells `parent` the height of an element, now and after each change. The message is that of LTI,
 * which course sites know. It says nothing but the height, so it is for whatever page is there.
 */
export function reportHeight(element: Element, parent: Window): void {
  let reported = 0;
  const report = () => {
    const height = Math.min(Math.ceil(element.getBoundingClientRect().height), MAX_HEIGHT_PX);
    if (height === reported) return;
    reported = height;
    parent.postMessage({ subject: "lti.frameResize", height }, "*");
  };
  new ResizeObserver(report).observe(element);
}
