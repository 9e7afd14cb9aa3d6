/** A program's output in an element: as text, never as markup, and never more of it than a page bears. */

/** How many characters are kept; what is older goes, a piece at a time. */
const KEPT_MAX = 400_000;
const PIECE_MAX = 8_000;
/** How long making what shows may take at a time, in milliseconds; the browser lays it out besides. */
const FLUSH_MS = 10;
/** What shows is never older than that, in milliseconds, where the page has the time. */
const PAUSE_MAX_MS = 500;
/** What a change of colour counts for, in characters: it makes an element. */
const COLOUR_COST = 40;
const IMAGES = /^image\/(png|jpeg|gif|webp|svg\+xml)$/;

/** What anything but text counts for at least, in characters. */
const BLOCK_COST = 20_000;

type Part = ({ file: string; text: string } | { block: () => Element }) & { cost: number };

/** What a text counts for, in characters. */
function costOf(text: string): number {
  let cost = text.length;
  for (let at = text.indexOf("\x1b["); at >= 0; at = text.indexOf("\x1b[", at + 2)) cost += COLOUR_COST;
  return cost;
}

/** Makes what shows a text. Standard error can be told apart by the page's style. */
export function plain(text: string, file: string): Node {
  if (file !== "stderr") return document.createTextNode(text);
  const span = document.createElement("span");
  span.className = file;
  span.textContent = text;
  return span;
}

export class Output {
  #waiting: Part[] = [];
  /** What the parts that wait, and the nodes that show, count for. */
  #waitingCost = 0;
  #cost = 0;
  #note: HTMLElement | undefined;
  #isPlanned = false;
  /** Whether something between what shows and what waits was forgotten. */
  #isCut = false;
  /** How long it took to show what came last, with laying it out where the page asks how high that is. */
  #tookMs = 0;
  readonly #costs = new WeakMap<Node, number>();

  constructor(
    private readonly element: Element,
    private readonly render = plain,
    /** Told when something new shows. */
    private readonly onShown: () => void = () => {},
  ) {}

  /** Adds what was printed on `file`. It shows with the next picture that the browser draws. */
  write(text: string, file: string): void {
    for (let from = 0, to = 0; from < text.length; from = to) {
      to = from + PIECE_MAX;
      // Not between the halves of a pair.
      if (/[\ud800-\udbff]/.test(text[to - 1] ?? "")) to++;
      const piece = text.slice(from, to);
      const cost = costOf(piece);
      const last = this.#waiting.at(-1);
      if (last && "text" in last && last.file === file && last.cost < PIECE_MAX) {
        last.text += piece;
        last.cost += cost;
      } else this.#waiting.push({ file, text: piece, cost });
      this.#wait(cost);
    }
  }

  /** Adds a picture: base64 of one of the kinds that an `img` shows without running anything. */
  image(mimetype: unknown, data: unknown): void {
    if (typeof mimetype !== "string" || !IMAGES.test(mimetype) || typeof data !== "string") return;
    this.block(() => {
      const image = document.createElement("img");
      image.src = `data:${mimetype};base64,${data}`;
      image.alt = "a picture that the program made";
      return image;
    });
  }

  /** Adds an element, which counts for so many characters. It is made when it shows: of a flood most never do. */
  block(block: () => Element, cost = BLOCK_COST): void {
    this.#waiting.push({ block, cost });
    this.#wait(cost);
  }

  clear(): void {
    this.#waiting = [];
    this.#waitingCost = this.#cost = 0;
    this.#note = undefined;
    this.#isCut = false;
    this.element.textContent = "";
  }

  /** Shows what waits: all of it, or as much as can be made in so many milliseconds. */
  flush(mostMs = Infinity): void {
    const began = performance.now();
    this.#isPlanned = false;
    this.#drop(KEPT_MAX);
    if (this.#isCut) this.#forgetShown();
    let made = 0;
    for (const part of this.#waiting) {
      const node = "block" in part ? part.block() : this.render(part.text, part.file);
      this.#waitingCost -= part.cost;
      this.#cost += part.cost;
      this.#costs.set(node, part.cost);
      this.element.append(node);
      made++;
      if (performance.now() - began > mostMs) break;
    }
    this.#waiting.splice(0, made);
    while (this.#cost > KEPT_MAX) {
      const oldest = this.#note ? this.#note.nextSibling : this.element.firstChild;
      if (!oldest || oldest === this.element.lastChild) break;
      this.#cost -= this.#costs.get(oldest) ?? 0;
      oldest.remove();
      this.#trimmed();
    }
    this.onShown();
    this.#tookMs = performance.now() - began;
    if (this.#waiting.length > 0) this.#plan();
  }

  /** Of what waits, forgets what is oldest until the rest counts for no more than `most`. */
  #drop(most: number): void {
    let dropped = 0;
    while (this.#waitingCost > most && dropped < this.#waiting.length - 1) this.#waitingCost -= (this.#waiting[dropped++] as Part).cost;
    if (dropped === 0) return;
    this.#waiting.splice(0, dropped);
    this.#isCut = true;
  }

  /** Takes away what shows, as there would be a hole between it and what comes. */
  #forgetShown(): void {
    this.element.textContent = "";
    this.#cost = 0;
    this.#note = undefined;
    this.#isCut = false;
    this.#trimmed();
  }

  /** Has what waits shown soon. What is more than a page shows never gets there, so that a flood costs little. */
  #wait(cost: number): void {
    this.#waitingCost += cost;
    if (this.#waitingCost > 2 * KEPT_MAX) this.#drop(KEPT_MAX);
    this.#plan();
  }

  #plan(): void {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    const flush = () => {
      cancelAnimationFrame(frame);
      clearTimeout(timer);
      if (this.#isPlanned) this.flush(FLUSH_MS);
    };
    // What takes long comes less often, so that two thirds of the time are left for all else.
    const isQuick = this.#tookMs <= FLUSH_MS;
    const frame = isQuick ? requestAnimationFrame(flush) : 0;
    // Frames stop in the background.
    const timer = setTimeout(flush, isQuick ? 100 : Math.min(2 * this.#tookMs, PAUSE_MAX_MS));
  }

  /** Says that there was more. */
  #trimmed(): void {
    if (this.#note) return;
    this.#note = document.createElement("div");
    this.#note.className = "trimmed";
    this.#note.textContent = "(earlier output is not shown)";
    this.element.prepend(this.#note);
  }
}
