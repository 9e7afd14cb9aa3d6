/** The output with all that the user can do to it: copy, save, clear, search, and look closer. */

import { Output } from "../../dom/output.js";
import { selectAllWithin } from "../../dom/select-all.js";
import { type FindLinks, OutputTerminal } from "../../terminal/view.js";
import { words } from "../../words/words.js";
import { createElement } from "../create-element.js";
import { adoptStyle } from "../style.js";
import type { FindBar } from "./find.js";
import { Menu, type MenuItem } from "./menu.js";
import { readView, scaleOf, sizeBeside, storeView, type View } from "./view.js";

/** The distance from the end in which the output keeps scrolling to its end, in pixels. */
const SCROLL_TOLERANCE = 30;
/** The time for which a note about what was done is shown, in milliseconds. */
const NOTE_MS = 4000;
const DOWNLOAD_NAME = "output.txt";

/** Loads what copies and saves the output; undefined without an answer of the server. */
const loadPlainText = () => import("./plain-text.js").catch(() => undefined);

export class OutputPane {
  /** The element with the output. */
  readonly element = createElement("div", {
    class: "output",
    role: "log",
    "aria-label": words.output,
    tabindex: "0",
    translate: "no",
  });
  /** The place of the bar for the search, until a user searches. */
  readonly findPlace = createElement("div", { hidden: "" });
  #find: Promise<FindBar | undefined> | undefined;
  readonly menu: Menu;
  /** Tells what was done. */
  readonly note = createElement("span", { class: "note", role: "status" });
  readonly output: Output;
  #terminal: OutputTerminal;
  #isAtEnd = true;
  readonly #view: View = readView();
  #noteTimer: ReturnType<typeof setTimeout> | undefined;

  /** `frame` is the part of the editor that has the type's size, and that can fill the screen. */
  constructor(private readonly frame: HTMLElement) {
    const { element } = this;
    // The output does not scroll by itself while the user has scrolled up to read.
    element.addEventListener("scroll", () => {
      const bottom = element.scrollTop + element.clientHeight;
      this.#isAtEnd = bottom >= element.scrollHeight - SCROLL_TOLERANCE;
    });
    selectAllWithin(element);
    element.addEventListener("keydown", (event) => {
      const isFind = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "f";
      if (!isFind || event.shiftKey || event.altKey) return;
      event.preventDefault();
      void this.#openFind();
    });
    const showText = (text: string, file: string) => this.#terminal.write(text, file);
    this.output = new Output(element, showText, () => {
      if (this.#isAtEnd) element.scrollTop = element.scrollHeight;
      this.#refreshFind();
    }, words);
    this.#terminal = new OutputTerminal(this.output);
    this.menu = new Menu(words.outputMenu, this.#createItems());
    this.#applyView();
  }

  /** Removes everything, before another program writes here, in whose lines links are found. */
  clear(findLinks: FindLinks): void {
    this.output.clear();
    this.#terminal = new OutputTerminal(this.output, findLinks);
    // Keys that are typed just after the search was opened must find the search there. The output
    // can be copied also if the server is not there any more.
    void this.#loadFind();
    void loadPlainText();
    this.#refreshFind();
  }

  /** Loads the search. Without an answer of the server there is none, and the next time asks again. */
  #loadFind(): Promise<FindBar | undefined> {
    this.#find ??= import("./find.js").then(
      ({ FindBar }) => {
        const find = new FindBar(this.element, words, createElement, adoptStyle);
        this.findPlace.replaceWith(find.element);
        return find;
      },
      () => (this.#find = undefined),
    );
    return this.#find;
  }

  async #openFind(): Promise<void> {
    (await this.#loadFind())?.open();
  }

  #refreshFind(): void {
    void this.#find?.then((find) => find?.refresh());
  }

  #createItems(): MenuItem[][] {
    const { element, frame } = this;
    const hasOutput = () => element.childNodes.length > 0;
    const resize = (text: string, step: 1 | -1): MenuItem => ({
      text: () => text,
      isEnabled: () => sizeBeside(this.#view, step) !== this.#view.size,
      isRepeated: true,
      act: () => this.#change({ size: sizeBeside(this.#view, step) }),
    });
    const isFull = () => (frame.getRootNode() as ShadowRoot).fullscreenElement === frame;
    const fullScreen: MenuItem = {
      text: () => words.fullScreen,
      isOn: isFull,
      act: () => void (isFull() ? document.exitFullscreen() : frame.requestFullscreen()).catch(() => {}),
    };
    return [
      [
        { text: () => words.copyOutput, isEnabled: hasOutput, act: () => void this.#copy() },
        { text: () => words.downloadOutput, isEnabled: hasOutput, act: () => void this.#download() },
        { text: () => words.clearOutput, isEnabled: hasOutput, act: () => this.#clearByUser() },
        { text: () => words.findMenu, act: () => void this.#openFind() },
      ],
      [
        resize(words.larger, 1),
        resize(words.smaller, -1),
        {
          text: () => words.wrap,
          isOn: () => this.#view.isWrapping,
          act: () => this.#change({ isWrapping: !this.#view.isWrapping }),
        },
        ...(document.fullscreenEnabled ? [fullScreen] : []),
      ],
    ];
  }

  async #copy(): Promise<void> {
    this.output.flush();
    const plainText = await loadPlainText();
    const isCopied = await plainText?.copy(plainText.plainTextOf(this.element), this.frame);
    this.#say(isCopied ? words.copied : words.notCopied);
  }

  async #download(): Promise<void> {
    this.output.flush();
    const plainText = await loadPlainText();
    plainText?.download(DOWNLOAD_NAME, plainText.plainTextOf(this.element));
  }

  /** Removes what is shown. The program's next text has the colours that the program has set. */
  #clearByUser(): void {
    this.output.clear();
    this.#refreshFind();
    this.#say(words.cleared);
  }

  #say(text: string): void {
    this.note.textContent = text;
    clearTimeout(this.#noteTimer);
    this.#noteTimer = setTimeout(() => (this.note.textContent = ""), NOTE_MS);
  }

  #change(part: Partial<View>): void {
    Object.assign(this.#view, part);
    storeView(part);
    this.#applyView();
  }

  #applyView(): void {
    this.frame.style.setProperty("--scale", String(scaleOf(this.#view)));
    this.element.classList.toggle("unwrapped", !this.#view.isWrapping);
  }
}
