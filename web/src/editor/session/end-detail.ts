/** How a program has ended, in the server's words, for its author. */

import type { Message, SessionDocument } from "../../client/index.js";
import { createElement } from "../create-element.js";
import { needsDetail } from "../describe-end.js";

export class EndDetail {
  /** The place of the words, which is empty while there is nothing to tell. */
  readonly element = createElement("p", { class: "detail", role: "status", lang: "en" });
  /** Identifies the session that is shown, so that a late document of another one is ignored. */
  #shown = {};

  clear(): void {
    this.#shown = {};
    this.element.textContent = "";
  }

  /**
   * Shows how the program has ended, if a user may wonder. `document` is the session's; if it is
   * from before the end, `find` requests it again, where the user may do that.
   */
  async show(
    exit: Message,
    document: SessionDocument | undefined,
    find?: (document: SessionDocument) => Promise<SessionDocument | undefined>,
  ): Promise<void> {
    if (!needsDetail(exit) || !document) return;
    const shown = this.#shown;
    const detail = document.detail ?? (await find?.(document))?.detail;
    if (detail !== undefined && shown === this.#shown) this.element.textContent = detail;
  }
}
