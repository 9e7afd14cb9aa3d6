/** How an editor follows a session. */

export interface FollowOptions {
  /** Whether nothing is sent to the session. */
  watch?: boolean;
  /** The texts of the session's program. */
  texts?: Iterable<string> | undefined;
}

/** What is known of a session that an editor begins to follow. */
export type SessionOptions = Pick<FollowOptions, "texts"> &
  Partial<Record<"isNew" | "isWatching" | "isShared" | "hasAllInput", boolean>>;
