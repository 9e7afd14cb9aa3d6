/** The sessions whose programs run on, although they are not shown any more. */

import { attach, type Session, type TokenSource } from "../../client/index.js";

export class LeftSessions {
  readonly #ids = new Set<string>();

  /** Notes that a session is left. One that has no id yet is ended, since nothing leads back to it. */
  add(session: Session): void {
    if (session.id === undefined) session.remove();
    else this.#ids.add(session.id);
  }

  /** Forgets a session, because it is shown again. */
  take(id: string): void {
    this.#ids.delete(id);
  }

  /** Ends the programs of all these sessions. */
  end(options: { server: string; token?: TokenSource }): void {
    for (const id of this.#ids) {
      const session = attach({ ...options, id });
      const close = () => session.close();
      session.signal("kill").then(close, close);
    }
    this.#ids.clear();
  }
}
