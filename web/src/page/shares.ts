/** The part of the dialog by which a session is shared: new links, and those that were made. */

import type { Server } from "../client/server.js";
import type { Rights } from "../client/messages.js";
import { locale } from "../words/choose.js";
import { words } from "../words/words.js";
import { describeFailure } from "./failure.js";
import { type Shared, toFragment } from "./share.js";

/** A share, as the server describes it. */
interface ShareDocument {
  id: string;
  rights: Rights;
  expires: string;
  /** The link, in the answer that makes the share. */
  link?: string;
}

const byId = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;

/** The keys of the words for a link that was just made, for one of the list, and for ending it. */
const TEXTS = {
  watch: ["madeLinkToWatch", "aLinkToWatch", "revokeLinkToWatch"],
  join: ["madeLinkToJoin", "aLinkToJoin", "revokeLinkToJoin"],
} as const;

/** When a link ends, in words. */
export function describeExpiry(expires: string, tag = locale(), timeZone?: string): string {
  const format = new Intl.DateTimeFormat(tag, {
    dateStyle: "medium",
    timeStyle: "short",
    ...(timeZone ? { timeZone } : {}),
  });
  return words.until(format.format(new Date(expires)));
}

export class Shares {
  readonly #section = byId("session-shares");
  readonly #made = byId("made-share");
  readonly #link = byId<HTMLInputElement>("share-link");
  readonly #rows = byId<HTMLUListElement>("share-list");
  readonly #buttons = {
    watch: byId<HTMLButtonElement>("share-watch"),
    join: byId<HTMLButtonElement>("share-join"),
  };
  /** The path of the shown session's shares on the server; empty if no session is shown. */
  #path = "";
  /** The program of the session, which a link shows beside the output. */
  #program: Shared = {};

  constructor(
    private readonly server: Server,
    /** Tells the user how something went. */
    private readonly say: (text: string) => void,
  ) {
    for (const rights of ["watch", "join"] as const) {
      this.#buttons[rights].addEventListener("click", () => void this.#make(rights));
    }
  }

  /**
   * Shows the links of a session; nothing if there is no session, or if the user may not share it.
   */
  async show(session: string | undefined, program: Shared): Promise<void> {
    this.#section.hidden = this.#made.hidden = true;
    this.#link.value = "";
    this.#rows.replaceChildren();
    this.#path = session === undefined ? "" : `/sessions/${session}/shares`;
    this.#program = program;
    if (session === undefined) return;
    await this.#list();
  }

  async #list(): Promise<void> {
    const path = this.#path;
    const shares = await this.#request<ShareDocument[]>(() => this.server.get(path), {
      // Somebody else's session cannot be shared, and older servers share none.
      silent: [403, 404],
    });
    if (!shares || path !== this.#path) return;
    this.#section.hidden = false;
    this.#rows.replaceChildren(...shares.map((share) => this.#createRow(share)));
  }

  /** Makes a link. Meanwhile the buttons are disabled: two clicks would make two links. */
  async #make(rights: Rights): Promise<void> {
    const buttons = Object.values(this.#buttons);
    for (const button of buttons) button.disabled = true;
    try {
      await this.#makeAndShow(rights);
    } finally {
      for (const button of buttons) button.disabled = false;
      // A button that is disabled loses the focus.
      if (document.activeElement === document.body) this.#buttons[rights].focus();
    }
  }

  async #makeAndShow(rights: Rights): Promise<void> {
    const [path, program] = [this.#path, this.#program];
    const share = await this.#request<ShareDocument>(() => this.server.post(path, { rights }));
    if (!share?.link) return;
    // The page may be served below a path of a proxy, which the server does not know.
    const secret = new URLSearchParams(new URL(share.link).hash.slice(1)).get("share") ?? "";
    const fragment = await toFragment({ ...program, share: secret });
    // The dialog may show another session by now, whose link this is not.
    if (path !== this.#path) return;
    this.#link.value = new URL(fragment, location.href.replace(/#.*/, "")).href;
    const label = this.#made.querySelector("label") as HTMLElement;
    label.textContent = words[TEXTS[rights][0]](describeExpiry(share.expires));
    this.#made.hidden = false;
    this.#link.select();
    this.say(words.linkShownOnce);
    await this.#list();
  }

  /** The JSON that the server answers. If it does not, tells the user why, and returns undefined. */
  async #request<T>(
    ask: () => ReturnType<Server["get"]>,
    /** The statuses of which the user is told nothing. */
    { silent = [] as number[] } = {},
  ): Promise<T | undefined> {
    const path = this.#path;
    let problem = words.noAnswer;
    try {
      const response = await ask();
      if (response.ok) return (await response.json()) as T;
      if (silent.includes(response.status)) return undefined;
      problem = ((await response.json()) as { detail?: string }).detail ?? words.noAnswer;
    } catch {
      // Nothing came that could be understood, which is what the user is told.
    }
    if (path === this.#path) this.say(problem);
    return undefined;
  }

  #createRow({ id, rights, expires }: ShareDocument): HTMLLIElement {
    const path = this.#path;
    const row = document.createElement("li");
    const text = document.createElement("span");
    text.textContent = words[TEXTS[rights][1]](describeExpiry(expires));
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = words.revoke;
    button.setAttribute("aria-label", words[TEXTS[rights][2]]);
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await this.server.remove(`${this.server.base}${path}/${id}`, "no_such_share");
      } catch (error) {
        button.disabled = false;
        if (document.activeElement === document.body) button.focus();
        if (path === this.#path) this.say(describeFailure(error));
        return;
      }
      if (path !== this.#path) return;
      // A link that was made meanwhile has replaced the rows.
      if (!row.isConnected) await this.#list();
      // The focus moves from the removed row to a neighbouring row, or else to a button that stays.
      const neighbour = row.nextElementSibling ?? row.previousElementSibling;
      row.remove();
      (neighbour?.querySelector("button") ?? byId("share-watch")).focus();
      this.#made.hidden = true;
      this.say(words.revoked);
    });
    row.append(text, button);
    return row;
  }
}
