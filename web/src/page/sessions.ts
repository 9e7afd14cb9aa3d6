/** The dialog with the list of the user's sessions. */

import { type SessionDocument } from "../client/messages.js";
import { type Server } from "../client/server.js";
import { describeEnd } from "../editor/describe-end.js";
import { locale } from "../words/choose.js";
import { words } from "../words/words.js";
import { describeFailure } from "./failure.js";
import { describeQuotas, type Quota } from "./quota.js";
import type { PageStorage } from "./storage.js";

/** The number of sessions that are listed at once. */
const PAGE_SIZE = 100;

const UNITS = [
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
] as const;

/** The time since a date, in words. */
export function describeAge(date: Date, now = new Date()): string {
  const seconds = (now.getTime() - date.getTime()) / 1000;
  const unit = UNITS.find(([, length]) => seconds >= length);
  if (!unit) return words.justNow;
  const [name, length] = unit;
  const format = new Intl.RelativeTimeFormat(locale(), { numeric: "always" });
  return format.format(-Math.floor(seconds / length), name);
}

/** The state of a session, in words. */
function describeState({ state, outcome, exitstatus, elapsed }: SessionDocument): string {
  if (state === "running") return words.running;
  if (state !== "ended") return words.notStartedYet;
  const reason = outcome === "exited" ? {} : { reason: outcome };
  return describeEnd({ msgtype: "exitstatus", exitstatus, ...reason }, Number(elapsed));
}

function createLine(className: string, text: string): HTMLParagraphElement {
  const line = document.createElement("p");
  line.className = className;
  line.textContent = text;
  return line;
}

/**
 * A page of the caller's sessions, and the query of the next page if there is one. Returns null if
 * the server does not answer one.
 */
async function fetchPage(
  server: Server,
  query: string,
): Promise<{ sessions: SessionDocument[]; next: string | undefined } | null> {
  try {
    const response = await server.get(`/sessions${query}`);
    if (!response.ok) return null;
    const link = /<([^>]*)>;\s*rel="next"/.exec(response.headers.get("Link") ?? "")?.[1];
    const sessions = (await response.json()) as SessionDocument[];
    return { sessions, next: link && new URL(link, server.base).search };
  } catch {
    return null;
  }
}

export class SessionsDialog {
  readonly #dialog = document.getElementById("sessions-dialog") as HTMLDialogElement;
  readonly #rows = document.getElementById("session-list") as HTMLUListElement;
  readonly #status = this.#dialog.querySelector(".said") as HTMLElement;
  readonly #quota = document.getElementById("quota") as HTMLElement;
  readonly #filters = this.#dialog.querySelector(".filters") as HTMLElement;
  readonly #state = document.getElementById("session-state") as HTMLSelectElement;
  readonly #runtime = document.getElementById("session-runtime") as HTMLSelectElement;
  readonly #more = document.getElementById("more-sessions") as HTMLButtonElement;
  /** Identifies the last request, so that late responses to earlier ones are ignored. */
  #requestMarker: object = {};
  /** The query of the next page, if the list goes on. */
  #next: string | undefined;

  constructor(
    private readonly server: Server,
    private readonly storage: PageStorage,
    /** The names and titles of all runtimes. */
    private readonly titles: Map<string, string>,
    /** Called with the session that the user opens. */
    private readonly onOpen: (session: SessionDocument) => void,
  ) {
    this.#runtime.append(new Option(words.all, ""));
    for (const [name, title] of titles) this.#runtime.append(new Option(title, name));
    for (const select of [this.#state, this.#runtime]) {
      select.addEventListener("change", () => void this.#list());
    }
    this.#more.addEventListener("click", () => void this.#listMore());
  }

  /** Opens the dialog, and lists the sessions with the newest first. */
  show(): Promise<void> {
    this.#dialog.showModal();
    void this.#showQuota();
    return this.#list();
  }

  /** Tells what is left of the user's quotas, if there are some. */
  async #showQuota(): Promise<void> {
    this.#quota.textContent = "";
    try {
      const response = await this.server.get("/quota");
      if (!response.ok) return;
      const { quotas } = (await response.json()) as { quotas: Quota[] };
      this.#quota.textContent = describeQuotas(quotas);
    } catch {
      // The list says that the server does not answer.
    }
  }

  get #isFiltered(): boolean {
    return Boolean(this.#state.value || this.#runtime.value);
  }

  /** Lists the sessions that the user has chosen to see. */
  async #list(): Promise<void> {
    const query = new URLSearchParams({ limit: String(PAGE_SIZE) });
    if (this.#state.value) query.set("state", this.#state.value);
    if (this.#runtime.value) query.set("runtime", this.#runtime.value);
    this.#rows.replaceChildren();
    this.#status.textContent = words.asking;
    await this.#addPage(`?${query}`);
  }

  /** Lists the next page, and moves the focus to it. */
  async #listMore(): Promise<void> {
    const last = this.#rows.lastElementChild;
    await this.#addPage(this.#next ?? "");
    const first = last ? last.nextElementSibling : this.#rows.firstElementChild;
    first?.querySelector<HTMLElement>(".open")?.focus();
  }

  async #addPage(query: string): Promise<void> {
    const marker = (this.#requestMarker = {});
    this.#more.hidden = true;
    const page = await fetchPage(this.server, query);
    if (this.#requestMarker !== marker) return;
    if (!page) return void (this.#status.textContent = words.noAnswerShort);
    this.#rows.append(...page.sessions.map((session) => this.#createRow(session)));
    this.#next = page.next;
    this.#more.hidden = !page.next;
    this.#showCount();
  }

  #showCount(): void {
    const count = this.#rows.childElementCount;
    const hasNone = count === 0 && !this.#next;
    this.#filters.hidden = hasNone && !this.#isFiltered;
    this.#status.textContent = this.#filters.hidden
      ? words.noSessions
      : hasNone
        ? words.noSuchSession
        : this.#next
          ? words.theLast(count)
          : this.#isFiltered
            ? words.inAll(count)
            : "";
  }

  #createRow(session: SessionDocument): HTMLLIElement {
    const row = document.createElement("li");
    const name = String(session.runtime);
    const title = this.titles.get(name) ?? name;
    const age = describeAge(new Date(String(session.created)));
    const code = this.storage.program(session.id)?.files[0]?.[1];
    const firstLine = code?.split("\n").find((line) => line.trim());
    const createButton = (className: string, text: string, onClick: () => void) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = className;
      button.textContent = text;
      button.setAttribute("aria-label", words.actOnSession(text, title, age));
      button.addEventListener("click", onClick);
      return button;
    };
    const open = createButton("open", words.open, () => {
      this.#dialog.close();
      this.onOpen(session);
    });
    const forgetText = session.state === "ended" ? words.forget : words.end;
    const forget = createButton("forget", forgetText, async () => {
      forget.disabled = true;
      try {
        await this.server.remove(session.links.self);
      } catch (error) {
        forget.disabled = false;
        // A button that is disabled loses the focus.
        if (document.activeElement === document.body) forget.focus();
        this.#status.textContent = describeFailure(error);
        return;
      }
      // The focus moves from the removed row to a neighbouring row, or else to the Close button.
      const neighbour = row.nextElementSibling ?? row.previousElementSibling;
      row.remove();
      const target =
        neighbour?.querySelector<HTMLElement>(".forget") ??
        this.#dialog.querySelector<HTMLElement>("form button");
      target?.focus();
      this.#showCount();
    });
    row.append(
      createLine("title", words.sessionState(title, describeState(session))),
      createLine("more", [age, firstLine].filter(Boolean).join(" · ")),
      open,
      forget,
    );
    return row;
  }
}
