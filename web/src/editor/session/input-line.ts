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

  /**
   * Brings the line into view, because the program waits for it. Puts the cursor into it, unless the
   * user is busy here or elsewhere on the page.
   */
  offer(isBusy: boolean): void {
    const { form, input } = this;
    if (form.hidden) return;
    form.scrollIntoView({ block: "nearest" });
    const { activeElement: focused, body } = document;
    const isFree = !focused || focused === body || focused === (form.getRootNode() as ShadowRoot).host;
    if (!isBusy && isFree) input.focus({ preventScroll: true });
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
