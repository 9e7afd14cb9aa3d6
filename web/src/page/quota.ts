/** What is left of the user's quotas, in words. */

import { locale } from "../words/choose.js";
import { words } from "../words/words.js";

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
  [3_600_000, (count: string) => words.hours(count)],
  [60_000, (count: string) => words.minutes(count)],
  [1000, (count: string) => words.seconds(count)],
] as const;
const SIZES = [
  [1e9, (count: string) => `${count} GB`],
  [1e6, (count: string) => `${count} MB`],
  [1e3, (count: string) => `${count} kB`],
  [1, (count: string) => words.bytes(count)],
] as const;

const format = (value: number) => value.toLocaleString(locale(), { maximumFractionDigits: 1 });

/** "12 of 60 minutes": both numbers in the largest unit of which the limit has at least two. */
function describeUse({ used, limit }: Quota, units: typeof TIMES | typeof SIZES): [string, string] {
  const [unit, describe] =
    units.find(([unit]) => limit >= 2 * unit) ?? (units[units.length - 1] as (typeof SIZES)[3]);
  return [format(used / unit), describe(format(limit / unit))];
}

/** A sentence about a quota, if there is something to tell. */
function describe(quota: Quota, formatTime: (date: Date) => string): string | undefined {
  const { limit, used, left, scope } = quota;
  const who =
    { address: words.youByAddress, token: words.youByToken }[scope] ?? words.you;
  const today = (units: typeof TIMES | typeof SIZES, of: string) => {
    const [part, all] = describeUse(quota, units);
    if (left > 0) return words.usedToday(who, part, all, of);
    const time = quota.refilled ? formatTime(new Date(quota.refilled)) : words.tomorrow;
    return words.usedUpToday(who, all, of, time);
  };
  switch (quota.quota) {
    case "cpu_ms_per_day":
      return today(TIMES, words.cpuTime);
    case "output_bytes_per_day":
      return today(SIZES, words.quotaOutput);
    case "creations_per_min":
      return left > 0 ? undefined : words.startedMany(who, limit);
    case "sessions_running_max":
      return left > 0 ? undefined : words.runningMany(who, limit);
    case "kept_bytes_max": {
      const [part, all] = describeUse(quota, SIZES);
      return used < limit * NEARLY
        ? undefined
        : words.sessionsTake(part, all);
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
  formatTime = (date: Date) => date.toLocaleTimeString(locale(), { hour: "2-digit", minute: "2-digit" }),
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
