/** Sessions that nobody can come back to end with their page, as programs did with v0.1's connection. */

import type { Session } from "../client/index.js";

const open = new Set<Session>();

function leave(event: PageTransitionEvent): void {
  // A page that the browser keeps may be shown again, and its sessions go on.
  if (!event.persisted) for (const session of open) session.remove();
}

/** Has a session removed when it has ended, or when its page goes away. */
export function endWithPage(session: Session): void {
  if (open.size === 0) addEventListener("pagehide", leave);
  open.add(session);
  const gone = () => {
    session.remove();
    open.delete(session);
    if (open.size === 0) removeEventListener("pagehide", leave);
  };
  session.ended.then(gone, gone);
}
