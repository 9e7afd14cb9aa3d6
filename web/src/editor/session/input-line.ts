/** The line in which the user types input for the program. */

import { words } from "../../words/words.js";
import { createElement } from "../create-element.js";

export class InputLine {
  readonly form = createElement("form", { hidden: "" });
  readonly input = createElement("input", {
    "aria-label": words.input,
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
  });

  constructor(
    /** Sends text to the program; with `eof`, its input ends after the text. */
    private readonly send: (text: string, eof: boolean) => void,
  ) {
    const { form, input } = this;
    const submit = createElement("button", {}, words.send);
    const end = createElement("button", { class: "eof", type: "button" }, words.endOfInput);
    end.addEventListener("click", () => send("", true));
    form.append(input, submit, end);
    const sendLine = (event: Event) => {
      event.preventDefault();
      send(`${input.value}\n`, false);
      input.value = "";
    };
    form.addEventListener("submit", sendLine);
    // A frame in a sandbox may submit no form, so the form is asked only if these do not come first.
    submit.addEventListener("click", sendLine);
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.isComposing) sendLine(event);
    });
    input.addEventListener("paste", (event) => this.#insert(event, event.clipboardData));
    input.addEventListener("drop", (event) => this.#insert(event, event.dataTransfer));
  }

  get #root(): ShadowRoot {
    return this.form.getRootNode() as ShadowRoot;
  }

  /** Shows or hides the line. The focus must not be lost with it, but moves to `next`. */
  show(isShown: boolean, next: HTMLElement): void {
    const { form } = this;
    const hasFocus = form.contains(this.#root.activeElement);
    form.hidden = !isShown;
    if (!isShown && hasFocus) next.focus();
  }

  /**
   * Brings the line into view, because the program waits for it, and puts the cursor into it. The
   * user who is busy elsewhere keeps the focus: in another part of the page, in the search, or in
   * code that was edited since the program was started. Nothing moves if the editor is out of view.
   */
  offer(isCodeEdited: boolean): void {
    const { form, input } = this;
    const { host, activeElement: focused } = this.#root;
    const { top, bottom } = host.getBoundingClientRect();
    if (form.hidden || bottom < 0 || top > innerHeight) return;
    form.scrollIntoView({ block: "nearest" });
    const { activeElement, body } = document;
    const isFree = focused
      ? form.contains(focused) || focused.matches(".run") || !(isCodeEdited || !focused.closest(".code"))
      : !activeElement || activeElement === body;
    // A frame does not take the focus from the page around it.
    if (isFree && (parent === window || document.hasFocus())) input.focus({ preventScroll: true });
  }

  /**
   * Inserts a text of several lines, as a terminal does: each complete line is sent, and what
   * follows the last line break stays to be edited. The browser would join the lines.
   */
  #insert(event: Event, data: DataTransfer | null): void {
    const text = data?.getData("text/plain") ?? "";
    if (!/[\r\n]/.test(text)) return;
    event.preventDefault();
    const { input } = this;
    const from = input.selectionStart ?? input.value.length;
    const after = input.value.slice(input.selectionEnd ?? from);
    const lines = (input.value.slice(0, from) + text + after).split(/\r\n?|\n/);
    const rest = lines.pop() ?? "";
    this.send(`${lines.join("\n")}\n`, false);
    input.value = rest;
    const at = Math.max(0, rest.length - after.length);
    input.setSelectionRange(at, at);
    input.focus();
  }
}
