/** The part of the dialog by which a session is shared: new links, and those that were made. */

import type { Server } from "../client/server.js";
import type { Rights } from "../client/messages.js";
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

/** What the holder of a link does, in words. */
const ACTIONS = { watch: "watch", join: "join" };

const NO_ANSWER = "The server does not answer. Try again in a moment.";

/** When a link ends, in words. */
export function describeExpiry(expires: string, locale?: string, timeZone?: string): string {
  const format = new Intl.DateTimeFormat(locale, {
    dateStyle: "medium",
    timeStyle: "short",
    ...(timeZone ? { timeZone } : {}),
  });
  return `until ${format.format(new Date(expires))}`;
}

export class Shares {
  readonly #section = byId("session-shares");
  readonly #made = byId("made-share");
  readonly #link = byId<HTMLInputElement>("share-link");
  readonly #rows = byId<HTMLUListElement>("share-list");
  /** The session that is shared, by its path on the server. */
  #path = "";
  /** The program of the session, which a link shows beside the output. */
  #program: Shared = {};

  constructor(
    private readonly server: Server,
    /** Tells the user how something went. */
    private readonly say: (text: string) => void,
  ) {
    for (const rights of ["watch", "join"] as const) {
      byId(`share-${rights}`).addEventListener("click", () => void this.#make(rights));
    }
  }

  /**
   * Shows the links of a session; nothing if there is no session, or if the user may not share it.
   */
  async show(session: string | undefined, program: Shared): Promise<void> {
    this.#section.hidden = this.#made.hidden = true;
    this.#link.value = "";
    this.#rows.replaceChildren();
    if (session === undefined) return;
    this.#path = `/sessions/${session}/shares`;
    this.#program = program;
    await this.#list();
  }

  async #list(): Promise<void> {
    const path = this.#path;
    const shares = await this.#request<ShareDocument[]>(() => this.server.get(path));
    if (!shares || path !== this.#path) return;
    this.#section.hidden = false;
    this.#rows.replaceChildren(...shares.map((share) => this.#createRow(share)));
  }

  async #make(rights: Rights): Promise<void> {
    const share = await this.#request<ShareDocument>(() => this.server.post(this.#path, { rights }));
    if (!share?.link) return;
    // The page may be served below a path of a proxy, which the server does not know.
    const secret = new URLSearchParams(new URL(share.link).hash.slice(1)).get("share") ?? "";
    const fragment = await toFragment({ ...this.#program, share: secret });
    this.#link.value = new URL(fragment, location.href.replace(/#.*/, "")).href;
    const label = this.#made.querySelector("label") as HTMLElement;
    label.textContent = `Link to ${ACTIONS[rights]} the program, ${describeExpiry(share.expires)}`;
    this.#made.hidden = false;
    this.#link.select();
    this.say("The link is shown only now.");
    await this.#list();
  }

  /** The JSON that the server answers. If it does not, tells the user why, and returns undefined. */
  async #request<T>(ask: () => ReturnType<Server["get"]>): Promise<T | undefined> {
    try {
      const response = await ask();
      if (response.ok) return (await response.json()) as T;
      // Somebody else's session cannot be shared, and older servers share none.
      if (![403, 404].includes(response.status)) {
        const { detail } = (await response.json()) as { detail?: string };
        this.say(detail ?? NO_ANSWER);
      }
    } catch {
      this.say(NO_ANSWER);
    }
    return undefined;
  }

  #createRow({ id, rights, expires }: ShareDocument): HTMLLIElement {
    const row = document.createElement("li");
    const text = document.createElement("span");
    text.textContent = `A link to ${ACTIONS[rights]}, ${describeExpiry(expires)}`;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Revoke";
    button.setAttribute("aria-label", `Revoke the link to ${ACTIONS[rights]}`);
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await this.server.remove(`${this.server.base}${this.#path}/${id}`);
      } catch {
        return this.say(NO_ANSWER);
      }
      // The focus moves from the removed row to a neighbouring row, or else to a button that stays.
      const neighbour = row.nextElementSibling ?? row.previousElementSibling;
      row.remove();
      (neighbour?.querySelector("button") ?? byId("share-watch")).focus();
      this.#made.hidden = true;
      this.say("The link opens nothing any more, and whoever watched by it is disconnected.");
    });
    row.append(text, button);
    return row;
  }
}
