/**
 * Ends sessions together with their page, if no later page can attach to them again. Programs
 * ended in the same way with the connection of v0.1.
 */

import type { Session } from "../client/index.js";

const openSessions = new Set<Session>();

function handlePageHide(event: PageTransitionEvent): void {
  // The browser may show a persisted page again, and then its sessions continue.
  if (!event.persisted) for (const session of openSessions) session.remove();
}

/** Removes a session when it has ended, or when its page is closed or left. */
export function endWithPage(session: Session): void {
  if (openSessions.size === 0) addEventListener("pagehide", handlePageHide);
  openSessions.add(session);
  const remove = () => {
    session.remove();
    openSessions.delete(session);
    if (openSessions.size === 0) removeEventListener("pagehide", handlePageHide);
  };
  session.ended.then(remove, remove);
}
