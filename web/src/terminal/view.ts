/** Shows a terminal's lines at the end of an output. */

import type { Output } from "../dom/output.js";
import type { Line, Piece } from "./line.js";
import { PLAIN, readableOn, type Style } from "./style.js";
import { Terminal, type TerminalView } from "./terminal.js";

/** The cost of an element, in characters of the output that is kept. */
const ELEMENT_COST = 40;
/** Characters of which pictures are made. Their colours are not changed to make them readable. */
const PICTURE = /[\u2580-\u259f]/;

/** What is shown of a line that can be reached. */
interface Shown {
  element: HTMLElement;
  cost: number;
  columns: number;
  end: string | undefined;
}

/**
 * A line that the program can reach has an element of its own. All lines that leave the terminal
 * before they were shown become one element, so that a flood costs little.
 */
export class OutputTerminal implements TerminalView {
  readonly #terminal = new Terminal(this);
  readonly #shown = new Map<Line, Shown>();
  /** The pieces of lines that have left the terminal before they were shown. */
  #passed: Piece[] = [];
  /** The last node of the output after the last call of `write`. */
  #lastNode: Node | null = null;

  constructor(private readonly output: Output) {}

  /** Writes output of `stdout` or `stderr`, or what the user has `typed`, and shows it. */
  write(text: string, file: string): void {
    // Nothing but this view appends text. If another node follows, e.g. a picture, or if all nodes
    // were removed, then the lines so far can be reached no more.
    if (this.output.lastNode !== this.#lastNode) {
      this.#shown.clear();
      this.#terminal.startAnew();
    }
    this.#terminal.write(text, file);
    this.#showPassed();
    const { lines } = this.#terminal;
    for (const line of lines) {
      if (line.columns > 0 || line.end !== undefined || this.#shown.has(line)) this.#update(line);
    }
    this.#lastNode = this.output.lastNode;
  }

  leave(line: Line): void {
    if (this.#shown.has(line)) {
      this.#update(line);
      this.#shown.delete(line);
    } else this.#passed.push(...line.slice(0), ...endOf(line));
  }

  remove(line: Line): void {
    const shown = this.#shown.get(line);
    if (!shown) return;
    this.output.setCost(shown.element, 0);
    shown.element.remove();
    this.#shown.delete(line);
  }

  #showPassed(): void {
    if (this.#passed.length === 0) return;
    const element = document.createElement("span");
    const cost = appendPieces(element, this.#passed);
    this.#passed = [];
    this.output.append(element, cost);
  }

  #update(line: Line): void {
    let shown = this.#shown.get(line);
    if (!shown) {
      const element = document.createElement("span");
      shown = { element, cost: ELEMENT_COST, columns: 0, end: undefined };
      this.#shown.set(line, shown);
      this.output.append(element, ELEMENT_COST);
    } else if (line.isRewritten) {
      shown.element.textContent = "";
      Object.assign(shown, { cost: ELEMENT_COST, columns: 0, end: undefined });
    } else if (line.columns === shown.columns && line.end === shown.end) return;
    line.isRewritten = false;
    const { element, columns, end } = shown;
    const added = [...line.slice(columns), ...(line.end === end ? [] : endOf(line))];
    shown.cost += appendPieces(element, added);
    shown.columns = line.columns;
    shown.end = line.end;
    this.output.setCost(element, shown.cost);
  }
}

/** The newline that ends a line. It has the style of standard error if the line has. */
function endOf(line: Line): Piece[] {
  if (!line.end) return [];
  const style = line.lastStyle ?? PLAIN;
  const isUncoloured = style.key === "stderr|||";
  return [{ text: line.end, columns: 0, style: isUncoloured ? style : PLAIN }];
}

/** Appends pieces to an element, and returns their cost. */
function appendPieces(element: HTMLElement, pieces: Piece[]): number {
  let cost = 0;
  for (let at = 0; at < pieces.length; ) {
    const { style } = pieces[at] as Piece;
    let text = "";
    // Each line of standard error is an element of its own, of which the style sheet marks the begin.
    const isError = style.classes[0] === "stderr";
    while (pieces[at]?.style.key === style.key && !(isError && text.endsWith("\n"))) {
      text += (pieces[at++] as Piece).text;
    }
    cost += text.length;
    const last = element.lastChild;
    if (style !== PLAIN) {
      element.append(createStyled(text, style));
      cost += ELEMENT_COST + (style.link?.length ?? 0);
    } else if (last instanceof Text) last.appendData(text);
    else element.append(text);
  }
  return cost;
}

/** Creates an element with text of a style. */
function createStyled(text: string, style: Style): HTMLElement {
  const { classes, foreground, background, link } = style;
  const element: HTMLElement = document.createElement(link ? "a" : "span");
  if (element instanceof HTMLAnchorElement) {
    element.href = element.title = link as string;
    element.target = "_blank";
    element.rel = "noopener noreferrer";
  }
  element.textContent = text;
  element.className = classes.join(" ");
  const isPicture = PICTURE.test(text);
  // Strict policies of the page allow styles that are set as properties.
  if (background) {
    element.classList.add("filled");
    element.style.backgroundColor = background;
    element.style.color =
      isPicture && foreground ? foreground : readableOn(background, foreground);
  } else if (foreground && isPicture) element.style.color = foreground;
  else if (foreground) {
    // The style sheet makes the colour readable on the page's ground.
    element.classList.add("rgb");
    element.style.setProperty("--rgb", foreground);
  }
  return element;
}
