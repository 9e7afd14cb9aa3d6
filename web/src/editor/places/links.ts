/** The parts of the output that lead to a place in the code. */

import type { FindLinks } from "../../terminal/view.js";
import { words } from "../../words/words.js";
import { type Place, placeFinder } from "./finder.js";

/** Creates the element for a text that names a place, before whose file so many lines run. */
function createPlaceLink({ file, line, column }: Place, linesBefore: number): HTMLElement {
  const link = document.createElement("span");
  link.className = "place";
  // An element of this role stays text, which can be selected together with the text around it.
  link.setAttribute("role", "button");
  link.tabIndex = 0;
  link.title = words.goToLine(line);
  Object.assign(link.dataset, { file, line: String(line - linesBefore) }, column ? { column: String(column) } : {});
  return link;
}

/**
 * Finds the links in lines of a program's output. Messages count the lines that run before those
 * of the first file, which are not in the editor, so that nothing leads there.
 */
export function placeLinks(runtime: string, files: Map<string, string>, linesBefore = 0): FindLinks {
  const find = placeFinder(runtime, files);
  const [first] = files.keys();
  const isShown = ({ file, line }: Place) => file !== first || line > linesBefore;
  return (text) =>
    find(text)
      .filter(isShown)
      .map(({ from, to, ...place }) => ({
        ...{ from, to },
        create: () => createPlaceLink(place, place.file === first ? linesBefore : 0),
      }));
}

/** Calls `go` when the user chooses a place in the output, by a click or by Enter or Space. */
export function followPlaces(output: HTMLElement, go: (place: Place) => void): void {
  const handle = (event: Event) => {
    const link = event.target instanceof Element && event.target.closest<HTMLElement>(".place");
    if (!link) return;
    event.preventDefault();
    const { file = "", line, column } = link.dataset;
    go({ file, line: Number(line), column: column === undefined ? undefined : Number(column) });
  };
  output.addEventListener("click", (event) => {
    // A selection of text ends with a click, too.
    const root = output.getRootNode() as Document | (ShadowRoot & { getSelection?(): Selection | null });
    const selection = root.getSelection?.() ?? getSelection();
    if (selection?.isCollapsed !== false) handle(event);
  });
  output.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") handle(event);
  });
}
