/**
 * Shows a program's output in an element: as text, never as markup, and only as much as the page
 * can hold while it stays responsive.
 */

/** The amount of output that is kept, in characters. Older output is removed in chunks. */
const MAX_KEPT_COST = 400_000;
const MAX_CHUNK_LENGTH = 8_000;
/** The time that one flush may take to create nodes, in milliseconds, without their layout. */
const FLUSH_BUDGET_MS = 10;
/** The longest time between two flushes of a page that is not overloaded, in milliseconds. */
const MAX_FLUSH_INTERVAL_MS = 500;
/** The cost of a change of colour, in characters, because it creates an element. */
const COLOUR_COST = 40;
/** The default cost of a block, which is any content but text, in characters. */
const BLOCK_COST = 20_000;
/** The image types that an `img` element shows without executing anything. */
const IMAGE_TYPES = /^image\/(png|jpeg|gif|webp|svg\+xml)$/;

/** A text or a block that is not shown yet. */
type Part = ({ file: string; text: string } | { createBlock: () => Element }) & { cost: number };

/** The cost of a text, in characters. */
function costOf(text: string): number {
  let cost = text.length;
  for (let at = text.indexOf("\x1b["); at >= 0; at = text.indexOf("\x1b[", at + 2)) {
    cost += COLOUR_COST;
  }
  return cost;
}

/** Shows a text at the end of an output. */
export type ShowText = (text: string, file: string, output: Output) => void;

/**
 * Appends a node with the text. If `file` is `stderr`, the node has the class `stderr`, so that the
 * page's style can tell standard error apart.
 */
const showPlain: ShowText = (text, file, output) => {
  const isError = file === "stderr";
  const node = isError ? document.createElement("span") : new Text();
  if (isError) (node as Element).className = file;
  node.textContent = text;
  output.append(node, text.length);
};

export class Output {
  /** The parts that are not shown yet. */
  #pending: Part[] = [];
  /** The cost of the pending parts. */
  #pendingCost = 0;
  /** The cost of the nodes that are shown. */
  #shownCost = 0;
  /** The cost of each node that is shown. */
  readonly #costs = new WeakMap<Node, number>();
  /** The note that earlier output was removed. */
  #trimmedNote: HTMLElement | undefined;
  #isFlushScheduled = false;
  /** Whether parts between the shown nodes and the pending parts were dropped. */
  #hasHole = false;
  /** The duration of the last flush, with the layout that `onShown` may cause. */
  #lastFlushMs = 0;

  constructor(
    private readonly element: Element,
    private readonly showText: ShowText = showPlain,
    /** Called when something new is shown. */
    private readonly onShown: () => void = () => {},
    /** What stands in place of a picture, and of output that was removed. */
    private readonly texts = {
      picture: "a picture that the program made",
      earlierOutput: "(earlier output is not shown)",
    },
  ) {}

  /**
   * Adds text, which is shown with the browser's next frame. `file` is `stdout`, `stderr`, or
   * `typed` for the user's input.
   */
  write(text: string, file: string): void {
    for (let from = 0, to = 0; from < text.length; from = to) {
      to = from + MAX_CHUNK_LENGTH;
      // A surrogate pair is not split.
      if (/[\ud800-\udbff]/.test(text[to - 1] ?? "")) to++;
      const chunk = text.slice(from, to);
      const cost = costOf(chunk);
      const last = this.#pending.at(-1);
      if (last && "text" in last && last.file === file && last.cost < MAX_CHUNK_LENGTH) {
        last.text += chunk;
        last.cost += cost;
      } else this.#pending.push({ file, text: chunk, cost });
      this.#handleAdded(cost);
    }
  }

  /** Adds a picture in base64. Types that could execute something are ignored. */
  image(mimetype: unknown, data: unknown): void {
    if (typeof mimetype !== "string" || !IMAGE_TYPES.test(mimetype)) return;
    if (typeof data !== "string") return;
    this.block(() => {
      const image = document.createElement("img");
      image.src = `data:${mimetype};base64,${data}`;
      image.alt = this.texts.picture;
      return image;
    });
  }

  /**
   * Adds an element with its cost in characters. The element is created when it is shown, because
   * most elements of a flood never are.
   */
  block(createBlock: () => Element, cost = BLOCK_COST): void {
    this.#pending.push({ createBlock, cost });
    this.#handleAdded(cost);
  }

  /** The last node that is shown. */
  get lastNode(): Node | null {
    return this.element.lastChild;
  }

  /** Shows a node with its cost in characters. */
  append(node: Node, cost: number): void {
    this.element.append(node);
    this.setCost(node, cost);
  }

  /** Sets the cost of a node that has changed, if the node is still shown. */
  setCost(node: Node, cost: number): void {
    if (node.parentNode !== this.element) return;
    this.#shownCost += cost - (this.#costs.get(node) ?? 0);
    this.#costs.set(node, cost);
  }

  clear(): void {
    this.#pending = [];
    this.#pendingCost = this.#shownCost = 0;
    this.#trimmedNote = undefined;
    this.#hasHole = false;
    this.element.textContent = "";
  }

  /** Shows the pending parts: all of them, or those that can be created in `budgetMs`. */
  flush(budgetMs = Infinity): void {
    const began = performance.now();
    this.#isFlushScheduled = false;
    this.#dropOldestPending(MAX_KEPT_COST);
    if (this.#hasHole) this.#removeShown();
    let shownCount = 0;
    for (const part of this.#pending) {
      this.#pendingCost -= part.cost;
      if ("createBlock" in part) this.append(part.createBlock(), part.cost);
      else this.showText(part.text, part.file, this);
      shownCount++;
      if (performance.now() - began > budgetMs) break;
    }
    this.#pending.splice(0, shownCount);
    while (this.#shownCost > MAX_KEPT_COST) {
      const oldest = this.#trimmedNote ? this.#trimmedNote.nextSibling : this.element.firstChild;
      if (!oldest || oldest === this.element.lastChild) break;
      this.setCost(oldest, 0);
      oldest.remove();
      this.#showTrimmedNote();
    }
    this.onShown();
    this.#lastFlushMs = performance.now() - began;
    if (this.#pending.length > 0) this.#scheduleFlush();
  }

  /** Drops the oldest pending parts until the rest costs at most `maxCost`. */
  #dropOldestPending(maxCost: number): void {
    let count = 0;
    while (this.#pendingCost > maxCost && count < this.#pending.length - 1) {
      this.#pendingCost -= (this.#pending[count++] as Part).cost;
    }
    if (count === 0) return;
    this.#pending.splice(0, count);
    this.#hasHole = true;
  }

  /** Removes the shown nodes, because parts that followed them were dropped. */
  #removeShown(): void {
    this.element.textContent = "";
    this.#shownCost = 0;
    this.#trimmedNote = undefined;
    this.#hasHole = false;
    this.#showTrimmedNote();
  }

  /**
   * Schedules a flush after a part was added. Parts that would be removed again are dropped at
   * once, so that a flood costs little.
   */
  #handleAdded(cost: number): void {
    this.#pendingCost += cost;
    if (this.#pendingCost > 2 * MAX_KEPT_COST) this.#dropOldestPending(MAX_KEPT_COST);
    this.#scheduleFlush();
  }

  #scheduleFlush(): void {
    if (this.#isFlushScheduled) return;
    this.#isFlushScheduled = true;
    const flush = () => {
      cancelAnimationFrame(frame);
      clearTimeout(timer);
      if (this.#isFlushScheduled) this.flush(FLUSH_BUDGET_MS);
    };
    // After a slow flush the next one waits twice as long as the slow one took, so that two thirds
    // of the time are left for everything else.
    const isFast = this.#lastFlushMs <= FLUSH_BUDGET_MS;
    const frame = isFast ? requestAnimationFrame(flush) : 0;
    // The browser produces no frames for a page in the background, so a timer is needed as well.
    const delayMs = isFast ? 100 : Math.min(2 * this.#lastFlushMs, MAX_FLUSH_INTERVAL_MS);
    const timer = setTimeout(flush, delayMs);
  }

  /** Shows a note at the beginning that earlier output was removed. */
  #showTrimmedNote(): void {
    if (this.#trimmedNote) return;
    this.#trimmedNote = document.createElement("div");
    this.#trimmedNote.className = "trimmed";
    this.#trimmedNote.textContent = this.texts.earlierOutput;
    this.element.prepend(this.#trimmedNote);
  }
}
