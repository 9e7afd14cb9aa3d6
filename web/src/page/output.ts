/** A program's output in an element: as text, never as markup, and never more of it than a page bears. */

/** How many characters are kept; what is older goes. */
const KEPT_MAX = 400_000;
const IMAGES = /^image\/(png|jpeg|gif|webp|svg\+xml)$/;

/** What anything but text counts for at least, in characters. */
const BLOCK_COST = 20_000;

type Part = { file: string; text: string } | { block: Element; cost: number };

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
  #waitingLength = 0;
  #length = 0;
  #note: HTMLElement | undefined;
  #isPlanned = false;
  readonly #costs = new WeakMap<Node, number>();

  constructor(
    private readonly element: Element,
    private readonly render = plain,
    /** Told when something new shows. */
    private readonly onShown: () => void = () => {},
  ) {}

  /** Adds what was printed on `file`. It shows with the next picture that the browser draws. */
  write(text: string, file: string): void {
    const last = this.#waiting.at(-1);
    if (last && "text" in last && last.file === file) last.text += text;
    else this.#waiting.push({ file, text });
    this.#wait(text.length);
  }

  /** Adds a picture: base64 of one of the kinds that an `img` shows without running anything. */
  image(mimetype: unknown, data: unknown): void {
    if (typeof mimetype !== "string" || !IMAGES.test(mimetype) || typeof data !== "string") return;
    const image = document.createElement("img");
    image.src = `data:${mimetype};base64,${data}`;
    image.alt = "a picture that the program made";
    this.block(image);
  }

  /** Adds an element, which counts for so many characters. */
  block(block: Element, cost = BLOCK_COST): void {
    this.#waiting.push({ block, cost });
    this.#wait(cost);
  }

  clear(): void {
    this.#waiting = [];
    this.#waitingLength = this.#length = 0;
    this.#note = undefined;
    this.element.textContent = "";
  }

  /** Shows what waits. */
  flush(): void {
    this.#isPlanned = false;
    for (const part of this.#waiting.splice(0)) {
      if ("block" in part) {
        this.#length += part.cost;
        this.#costs.set(part.block, part.cost);
        this.element.append(part.block);
        continue;
      }
      const text = part.text.slice(-KEPT_MAX);
      if (text.length < part.text.length) this.#trimmed();
      this.#length += text.length;
      this.element.append(this.render(text, part.file));
    }
    this.#waitingLength = 0;
    while (this.#length > KEPT_MAX) {
      const oldest = this.#note ? this.#note.nextSibling : this.element.firstChild;
      if (!oldest || oldest === this.element.lastChild) break;
      this.#length -= this.#costs.get(oldest) ?? oldest.textContent?.length ?? 0;
      oldest.remove();
      this.#trimmed();
    }
    this.onShown();
  }

  /** Has what waits shown soon. What is more than a page shows never gets there, so that a flood costs little. */
  #wait(length: number): void {
    this.#waitingLength += length;
    while (this.#waitingLength > 2 * KEPT_MAX) {
      const oldest = this.#waiting[0] as Part;
      if (this.#waiting.length === 1) {
        if ("block" in oldest) break;
        oldest.text = oldest.text.slice(-KEPT_MAX);
        this.#waitingLength = KEPT_MAX;
      } else {
        this.#waiting.shift();
        this.#waitingLength -= "text" in oldest ? oldest.text.length : oldest.cost;
      }
      this.#trimmed();
    }
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    const flush = () => this.#isPlanned && this.flush();
    // Whichever comes first: frames stop in the background.
    requestAnimationFrame(flush);
    setTimeout(flush, 100);
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
