/** The list of one's sessions, with a way back into each. */

import { type SessionDocument } from "../../client/messages.js";
import { type Server } from "../../client/server.js";
import { ending } from "../../editor/words.js";
import type { Memory } from "./memory.js";

/** How many are shown. */
const SHOWN_MAX = 100;

/** How long ago something was, in words. */
export function ago(date: Date, now = new Date()): string {
  const seconds = (now.getTime() - date.getTime()) / 1000;
  const units = [["day", 86_400], ["hour", 3600], ["minute", 60]] as const;
  const [unit, length] = units.find(([, length]) => seconds >= length) ?? ["second", 1];
  if (unit === "second") return "just now";
  return new Intl.RelativeTimeFormat("en", { numeric: "always" }).format(-Math.floor(seconds / length), unit);
}

/** How a session stands, in words. */
function standing({ state, outcome, exitstatus, elapsed }: SessionDocument): string {
  if (state === "running") return "running";
  if (state !== "ended") return "not started yet";
  return ending({ msgtype: "exitstatus", exitstatus, ...(outcome === "exited" ? {} : { reason: outcome }) }, Number(elapsed), false);
}

export class Sessions {
  readonly #dialog = document.getElementById("sessions-dialog") as HTMLDialogElement;
  readonly #list = document.getElementById("session-list") as HTMLUListElement;
  readonly #said = this.#dialog.querySelector(".said") as HTMLElement;

  constructor(
    private readonly server: Server,
    private readonly memory: Memory,
    private readonly titleOf: (runtime: string) => string,
    private readonly open: (session: SessionDocument) => void,
  ) {}

  async show(): Promise<void> {
    this.#list.replaceChildren();
    this.#said.textContent = "Asking the server…";
    this.#dialog.showModal();
    const sessions = await this.server.list();
    if (!sessions) return void (this.#said.textContent = "The server does not answer.");
    sessions.sort((one, other) => String(other.created).localeCompare(String(one.created)));
    this.#list.replaceChildren(...sessions.slice(0, SHOWN_MAX).map((session) => this.#row(session)));
    this.#count(sessions.length);
  }

  #count(all: number): void {
    const shown = this.#list.childElementCount;
    this.#said.textContent = all === 0 ? "There is none yet: run a program." : all > shown ? `The last ${shown} of ${all}.` : "";
  }

  #row(session: SessionDocument): HTMLLIElement {
    const row = document.createElement("li");
    const line = (className: string, text: string) => {
      const made = document.createElement("p");
      made.className = className;
      made.textContent = text;
      return made;
    };
    const title = this.titleOf(String(session.runtime));
    const when = ago(new Date(String(session.created)));
    const code = this.memory.program(session.id)?.code.split("\n").find((words) => words.trim());
    const button = (className: string, words: string, action: () => void) => {
      const made = document.createElement("button");
      made.type = "button";
      made.className = className;
      made.textContent = words;
      made.setAttribute("aria-label", `${words} ${title}, ${when}`);
      made.addEventListener("click", action);
      return made;
    };
    const open = button("open", "Open", () => {
      this.#dialog.close();
      this.open(session);
    });
    const forget = button("forget", session.state === "ended" ? "Forget" : "End", async () => {
      forget.disabled = true;
      await this.server.remove(session.links.self).catch(() => {});
      // Where the focus was is gone: the next row has it, or else what closes the list.
      const next = row.nextElementSibling ?? row.previousElementSibling;
      row.remove();
      (next?.querySelector<HTMLElement>(".forget") ?? this.#dialog.querySelector<HTMLElement>("form button"))?.focus();
      this.#count(this.#list.childElementCount);
    });
    row.append(line("title", `${title}: ${standing(session)}`), line("more", [when, code].filter(Boolean).join(" · ")), open, forget);
    return row;
  }
}
