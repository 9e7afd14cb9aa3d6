/** What is left of the user's quotas, in words. */

/** A quota, as `GET /quota` has it. */
export interface Quota {
  quota: string;
  scope: string;
  limit: number;
  used: number;
  left: number;
  refilled?: string;
}

/** The part of a quota from which on the user is told of it, where time does not refill it. */
const NEARLY = 0.75;

const TIMES = [
  [3_600_000, "hours"],
  [60_000, "minutes"],
  [1000, "seconds"],
] as const;
const SIZES = [
  [1e9, "GB"],
  [1e6, "MB"],
  [1e3, "kB"],
  [1, "bytes"],
] as const;

const format = (value: number) => value.toLocaleString("en", { maximumFractionDigits: 1 });

/** "12 of 60 minutes": both numbers in the largest unit of which the limit has at least two. */
function describeUse({ used, limit }: Quota, units: typeof TIMES | typeof SIZES): [string, string] {
  const [unit, name] =
    units.find(([unit]) => limit >= 2 * unit) ?? (units[units.length - 1] as (typeof SIZES)[3]);
  return [format(used / unit), `${format(limit / unit)} ${name}`];
}

/** A sentence about a quota, if there is something to tell. */
function describe(quota: Quota, formatTime: (date: Date) => string): string | undefined {
  const { limit, used, left, scope } = quota;
  const who =
    { address: "You and the others at your address have", token: "With this token you have" }[
      scope
    ] ?? "You have";
  const today = (units: typeof TIMES | typeof SIZES, of: string) => {
    const [part, all] = describeUse(quota, units);
    if (left > 0) return `${who} used ${part} of ${all} of ${of} today.`;
    const time = quota.refilled ? formatTime(new Date(quota.refilled)) : "tomorrow";
    return `${who} used up the ${all} of ${of} for today. You can run programs again from ${time} on; if you need more, ask the operator of this server.`;
  };
  switch (quota.quota) {
    case "cpu_ms_per_day":
      return today(TIMES, "CPU time");
    case "output_bytes_per_day":
      return today(SIZES, "output");
    case "creations_per_min":
      return left > 0 ? undefined : `${who} started ${limit} programs in a minute, which is the most. Wait a moment.`;
    case "sessions_running_max":
      return left > 0 ? undefined : `${who} ${limit} programs running, which is the most. Others wait until one ends.`;
    case "kept_bytes_max": {
      const [part, all] = describeUse(quota, SIZES);
      return used < limit * NEARLY
        ? undefined
        : `Ended sessions take ${part} of ${all} on the server. Beyond that, the oldest are forgotten.`;
    }
    default:
      return undefined;
  }
}

/**
 * The quotas in words, a sentence or two for each of which there is something to tell. Of those
 * with one name, such as those of a user and of a token, only the one with the least left counts.
 */
export function describeQuotas(
  quotas: Quota[],
  formatTime = (date: Date) => date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }),
): string {
  const least = quotas.filter((quota) =>
    quotas.every(
      (other) =>
        other.quota !== quota.quota ||
        other.left > quota.left ||
        (other.left === quota.left && quotas.indexOf(other) >= quotas.indexOf(quota)),
    ),
  );
  const sentences = least.map((quota) => describe(quota, formatTime));
  return sentences.filter((sentence) => sentence !== undefined).join(" ");
}
