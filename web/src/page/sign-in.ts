/** Signing in at a server that knows its users by tokens. */

import type { Store } from "../client/environment.js";
import { words } from "../words/words.js";

const byId = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;

export class SignIn {
  /** Called when the user has signed out in another tab. The page begins anew afterwards. */
  onSignedOut = async () => {};
  readonly #form = byId<HTMLFormElement>("sign-in");
  readonly #input = byId<HTMLInputElement>("token");
  readonly #status = byId("sign-in-status");
  readonly #button = this.#form.querySelector("button") as HTMLButtonElement;
  /** The key of the store under which the token for this server is kept. */
  readonly #key: string;
  /** Settled when the user has signed in; undefined while nothing waits for that. */
  #waiting: { promise: Promise<string>; resolve: (token: string) => void } | undefined;

  constructor(
    private readonly base: string,
    private readonly store: Store,
  ) {
    this.#key = `livecode-sign-in:${base}`;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#submit();
    });
    addEventListener("storage", ({ key, newValue }) => {
      if (key === this.#key) void this.#handleOtherTab(newValue);
    });
  }

  /** The token with which the user signed in. */
  get token(): string | undefined {
    return this.store.getItem(this.#key) ?? undefined;
  }

  /** The headers of a request that has the user's token, if there is one. */
  static headers(token: string | undefined): Record<string, string> {
    return token ? { Authorization: `Bearer ${token}` } : {};
  }

  /**
   * The user's token. If there is none, or if it is the one that the server has refused, the form
   * is shown, and the promise waits until the user has signed in.
   */
  readonly source = (refused?: string): Promise<string> => {
    const { token } = this;
    if (token && token !== refused) return Promise.resolve(token);
    return this.#ask(token ? words.whyTokenAgain : words.whyToken);
  };

  /** Hides the form. Whoever waited for the token goes on without one. */
  dismiss(): void {
    this.#form.hidden = true;
    this.#input.value = "";
    this.#waiting = undefined;
  }

  /** Forgets the token. */
  forget(): void {
    this.store.removeItem(this.#key);
  }

  #ask(why: string): Promise<string> {
    if (this.#waiting) return this.#waiting.promise;
    this.#waiting = Promise.withResolvers<string>();
    (this.#form.querySelector(".why") as HTMLElement).textContent = why;
    this.#status.textContent = "";
    this.#form.hidden = false;
    // A modal dialog would cover the form.
    const dialogs = document.querySelectorAll<HTMLDialogElement>("dialog[open]");
    for (const dialog of dialogs) dialog.close();
    // A user who is writing a program goes on with that.
    const { activeElement } = document;
    if (!activeElement || activeElement === document.body) this.#input.focus();
    return this.#waiting.promise;
  }

  async #submit(): Promise<void> {
    const token = this.#input.value.trim();
    this.#button.disabled = true;
    this.#status.textContent = words.asking;
    const problem = await this.#check(token);
    this.#button.disabled = false;
    this.#input.setAttribute("aria-invalid", String(problem !== ""));
    this.#status.textContent = problem;
    if (problem) this.#input.select();
    else this.#accept(token);
  }

  /** Asks the server for something that only its users get. Returns what is wrong, in words. */
  async #check(token: string): Promise<string> {
    // A header cannot contain anything else.
    if (!/^[\x21-\x7e]+$/.test(token)) return words.wrongToken;
    try {
      const response = await fetch(`${this.base}/runtimes`, { headers: SignIn.headers(token) });
      if (response.ok) return "";
      if (response.status === 401) return words.wrongToken;
      if (response.status !== 429) return words.noAnswer;
      const seconds = Number(response.headers.get("Retry-After")) || 10;
      return words.tooManyTokens(seconds);
    } catch {
      return words.noAnswer;
    }
  }

  #accept(token: string): void {
    this.store.setItem(this.#key, token);
    this.#form.hidden = true;
    this.#input.value = "";
    this.#waiting?.resolve(token);
    this.#waiting = undefined;
  }

  /** Follows what the user did in another tab: signing in, or out. */
  async #handleOtherTab(token: string | null): Promise<void> {
    if (token && this.#waiting) this.#accept(token);
    else if (!token && !this.#waiting) {
      await this.onSignedOut();
      location.reload();
    }
  }
}
