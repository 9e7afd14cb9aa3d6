/** Shows a terminal's lines at the end of an output. */

import type { Output } from "../dom/output.js";
import type { Line, Piece } from "./line.js";
import { PLAIN, readableOn, type Style } from "./style.js";
import { Terminal, type TerminalView } from "./terminal.js";

/** A part of a line that is shown by an element of its own. */
export interface Link {
  /** Where the part is in the line's text, as indices of characters. */
  from: number;
  to: number;
  /** Creates the element that contains the part's text. */
  create: () => HTMLElement;
}

/** Finds the parts of a complete line that are links. */
export type FindLinks = (text: string) => Link[];

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
  #passed: ShownPiece[] = [];
  /** The last node of the output after the last call of `write`. */
  #lastNode: Node | null = null;

  constructor(
    private readonly output: Output,
    private readonly findLinks: FindLinks = () => [],
  ) {}

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
    } else this.#passed.push(...this.#withLinks(line.slice(0)), ...endOf(line));
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

  /** The pieces of a complete line, cut at the ends of its links. */
  #withLinks(pieces: Piece[]): ShownPiece[] {
    const text = pieces.length === 1 ? (pieces[0] as Piece).text : pieces.map((piece) => piece.text).join("");
    const links = this.findLinks(text);
    if (links.length === 0) return pieces;
    const ends = links.flatMap(({ from, to }) => [from, to]);
    let at = 0;
    return pieces.flatMap((piece) => {
      const begin = at;
      at += piece.text.length;
      const cuts = [begin, ...ends.filter((end) => end > begin && end < at), at];
      return cuts.slice(1).map((to, index) => {
        const from = cuts[index] as number;
        const link = links.find((one) => one.from <= from && to <= one.to);
        const part = { ...piece, text: piece.text.slice(from - begin, to - begin) };
        return link ? { ...part, link } : part;
      });
    });
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
    // Links are known once the line is complete, and then it is shown anew.
    const linked = line.end === "\n" && shown.end !== "\n" ? this.#withLinks(line.slice(0)) : [];
    if (linked.some(({ link }) => link)) {
      shown.element.textContent = "";
      Object.assign(shown, { cost: ELEMENT_COST, columns: 0, end: undefined });
    }
    const { element, columns, end } = shown;
    const pieces = columns === 0 && linked.length ? linked : line.slice(columns);
    const added = [...pieces, ...(line.end === end ? [] : endOf(line))];
    shown.cost += appendPieces(element, added);
    shown.columns = line.columns;
    shown.end = line.end;
    this.output.setCost(element, shown.cost);
  }
}

/** A piece of a line, or of a link in it. */
type ShownPiece = Piece & { link?: Link };

/** The newline that ends a line. It has the style of standard error if the line has. */
function endOf(line: Line): Piece[] {
  if (!line.end) return [];
  const style = line.lastStyle ?? PLAIN;
  const isUncoloured = style.key === "stderr|||";
  return [{ text: line.end, columns: 0, style: isUncoloured ? style : PLAIN }];
}

/** Appends pieces to an element, and returns their cost. */
function appendPieces(element: HTMLElement, pieces: ShownPiece[]): number {
  let cost = 0;
  let parent = element;
  let shownLink: Link | undefined;
  for (let at = 0; at < pieces.length; ) {
    const { style, link } = pieces[at] as ShownPiece;
    if (link !== shownLink) {
      shownLink = link;
      parent = element;
      if (link) {
        parent = link.create();
        element.append(parent);
        cost += ELEMENT_COST;
      }
    }
    let text = "";
    // Each line of standard error is an element of its own, of which the style sheet marks the begin.
    const isError = style.classes[0] === "stderr";
    const isNext = ({ style: other, link: otherLink }: ShownPiece) =>
      other.key === style.key && otherLink === link && !(isError && text.endsWith("\n"));
    for (let piece = pieces[at]; piece && isNext(piece); piece = pieces[++at]) text += piece.text;
    cost += text.length;
    const last = parent.lastChild;
    if (style !== PLAIN) {
      parent.append(createStyled(text, style));
      cost += ELEMENT_COST + (style.link?.length ?? 0);
    } else if (last instanceof Text) last.appendData(text);
    else parent.append(text);
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
