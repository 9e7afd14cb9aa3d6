/** How the outputs of cases are compared with what is expected. */

import type { Case } from "../../client/index.js";

/** The lines of an output, as a case compares them. `plain` removes white space at their ends. */
export const linesOf = (text: string, { compare }: Case, plain: (text: string) => string): string[] =>
  (compare === "exact" ? text : plain(text)).split("\n");

const tokensOf = (line: string) => line.split(/\s+/).filter(Boolean);

/** Whether two words are the same, or numbers that are close, as the server compares them. */
function areClose(expected: string, printed: string, tolerance = 1e-6): boolean {
  if (expected === printed) return true;
  const distance = Math.abs(Number(expected) - Number(printed));
  return distance <= tolerance * Math.max(1, Math.abs(Number(expected)));
}

/** Whether two lines are the same for a case. */
export function areSameLines({ compare, tolerance }: Case, expected: string, printed: string): boolean {
  if (compare !== "tokens" && compare !== "floats") return expected === printed;
  const [left, right] = [tokensOf(expected), tokensOf(printed)];
  const areSame = (one: string, other: string) =>
    compare === "floats" ? areClose(one, other, tolerance) : one === other;
  return left.length === right.length && left.every((one, at) => areSame(one, right[at] as string));
}
