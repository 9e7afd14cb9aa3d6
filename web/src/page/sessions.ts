/** The dialog with the list of the user's sessions. */

import { type SessionDocument } from "../client/messages.js";
import { type Server } from "../client/server.js";
import { describeEnd } from "../editor/describe-end.js";
import type { PageStorage } from "./storage.js";

/** The number of sessions that are listed. */
const MAX_LISTED = 100;

const UNITS = [
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
] as const;

/** The time since a date, in words. */
export function describeAge(date: Date, now = new Date()): string {
  const seconds = (now.getTime() - date.getTime()) / 1000;
  const unit = UNITS.find(([, length]) => seconds >= length);
  if (!unit) return "just now";
  const [name, length] = unit;
  const format = new Intl.RelativeTimeFormat("en", { numeric: "always" });
  return format.format(-Math.floor(seconds / length), name);
}

/** The state of a session, in words. */
function describeState({ state, outcome, exitstatus, elapsed }: SessionDocument): string {
  if (state === "running") return "running";
  if (state !== "ended") return "not started yet";
  const reason = outcome === "exited" ? {} : { reason: outcome };
  return describeEnd({ msgtype: "exitstatus", exitstatus, ...reason }, Number(elapsed), false);
}

function createLine(className: string, text: string): HTMLParagraphElement {
  const line = document.createElement("p");
  line.className = className;
  line.textContent = text;
  return line;
}

export class SessionsDialog {
  readonly #dialog = document.getElementById("sessions-dialog") as HTMLDialogElement;
  readonly #list = document.getElementById("session-list") as HTMLUListElement;
  readonly #status = this.#dialog.querySelector(".said") as HTMLElement;
  readonly #filters = this.#dialog.querySelector(".filters") as HTMLElement;
  readonly #state = document.getElementById("session-state") as HTMLSelectElement;
  readonly #runtime = document.getElementById("session-runtime") as HTMLSelectElement;
  /** The user's sessions, the newest first. */
  #sessions: SessionDocument[] = [];

  constructor(
    private readonly server: Server,
    private readonly storage: PageStorage,
    /** The title of a runtime. */
    private readonly titleOf: (runtime: string) => string,
    /** Called with the session that the user opens. */
    private readonly onOpen: (session: SessionDocument) => void,
  ) {
    for (const select of [this.#state, this.#runtime]) {
      select.addEventListener("change", () => this.#showRows());
    }
  }

  /** Opens the dialog, and lists the sessions with the newest first. */
  async show(): Promise<void> {
    this.#list.replaceChildren();
    this.#filters.hidden = true;
    this.#status.textContent = "Asking the server…";
    this.#dialog.showModal();
    const sessions = await this.server.list();
    if (!sessions) return void (this.#status.textContent = "The server does not answer.");
    sessions.sort((one, other) => String(other.created).localeCompare(String(one.created)));
    this.#sessions = sessions;
    this.#fillRuntimes();
    this.#showRows();
  }

  /** Offers the runtimes that the sessions have. The user's choice stays as long as it is there. */
  #fillRuntimes(): void {
    const chosen = this.#runtime.value;
    const names = [...new Set(this.#sessions.map(({ runtime }) => String(runtime)))].sort();
    const options = names.map((name) => new Option(this.titleOf(name), name));
    this.#runtime.replaceChildren(new Option("All", ""), ...options);
    this.#runtime.value = names.includes(chosen) ? chosen : "";
  }

  /** The sessions that the user has chosen to see. */
  get #matching(): SessionDocument[] {
    const [wantedState, wantedRuntime] = [this.#state.value, this.#runtime.value];
    return this.#sessions.filter(({ state, runtime }) => {
      const isOfState = !wantedState || (state === "ended") === (wantedState === "ended");
      return isOfState && (!wantedRuntime || runtime === wantedRuntime);
    });
  }

  #showRows(): void {
    const shown = this.#matching.slice(0, MAX_LISTED);
    this.#list.replaceChildren(...shown.map((session) => this.#createRow(session)));
    this.#showCount();
  }

  #showCount(): void {
    const [all, matching] = [this.#sessions.length, this.#matching.length];
    const listed = this.#list.childElementCount;
    this.#filters.hidden = all === 0;
    this.#status.textContent =
      all === 0
        ? "You have no sessions yet. Run a program to start one."
        : matching === 0
          ? "You have no such session."
          : matching > listed
            ? `The last ${listed} of ${matching}.`
            : matching < all
              ? `${matching} of ${all}.`
              : "";
  }

  #createRow(session: SessionDocument): HTMLLIElement {
    const row = document.createElement("li");
    const title = this.titleOf(String(session.runtime));
    const age = describeAge(new Date(String(session.created)));
    const code = this.storage.program(session.id)?.code;
    const firstLine = code?.split("\n").find((line) => line.trim());
    const createButton = (className: string, text: string, onClick: () => void) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = className;
      button.textContent = text;
      button.setAttribute("aria-label", `${text} ${title}, ${age}`);
      button.addEventListener("click", onClick);
      return button;
    };
    const open = createButton("open", "Open", () => {
      this.#dialog.close();
      this.onOpen(session);
    });
    const forgetText = session.state === "ended" ? "Forget" : "End";
    const forget = createButton("forget", forgetText, async () => {
      forget.disabled = true;
      await this.server.remove(session.links.self).catch(() => {});
      // The focus moves from the removed row to a neighbouring row, or else to the Close button.
      const neighbour = row.nextElementSibling ?? row.previousElementSibling;
      row.remove();
      this.#sessions = this.#sessions.filter(({ id }) => id !== session.id);
      const target =
        neighbour?.querySelector<HTMLElement>(".forget") ??
        this.#dialog.querySelector<HTMLElement>("form button");
      target?.focus();
      this.#showCount();
    });
    row.append(
      createLine("title", `${title}: ${describeState(session)}`),
      createLine("more", [age, firstLine].filter(Boolean).join(" · ")),
      open,
      forget,
    );
    return row;
  }
}
