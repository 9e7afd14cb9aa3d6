/** The files of a program. The first one is run. */

/** Texts by their names. The only file of a program may have no name, which is empty here. */
export type Files = [name: string, text: string][];

/** The number of characters that must disappear for a change to be a drastic one. */
const DRASTIC_LENGTH = 20;

export const filesOf = (code: string): Files => [["", code]];

/** Whether a file of a program may have a name: such a name leads to a file below its folder. */
export const isFileName = (name: string) =>
  name.split("/").every((part) => !["", ".", ".."].includes(part) && !/[\u0000-\u001f\\]/.test(part));

export const areSame = (one: Files, other: Files) =>
  JSON.stringify(one) === JSON.stringify(other);

/** The number of characters of a text that another text does not have in the same place. */
function missingLength(text: string, other: string): number {
  const shorter = Math.min(text.length, other.length);
  let begin = 0;
  while (begin < shorter && text[begin] === other[begin]) begin++;
  let end = 0;
  while (end < shorter - begin && text[text.length - 1 - end] === other[other.length - 1 - end]) {
    end++;
  }
  return text.length - begin - end;
}

/** Whether so much of the files is gone afterwards that the user may want it back. */
export function isDrasticChange(before: Files, after: Files): boolean {
  const texts = new Map(after);
  const missing = before.map(([name, text]) => {
    // The only file may have been given a name.
    const now = texts.get(name) ?? (name ? "" : after[0]?.[1]);
    return missingLength(text, now ?? "");
  });
  return missing.some((length) => length >= DRASTIC_LENGTH);
}

/** A name that none of the others is: the name itself, or with a number after it. */
export function freeName(name: string, others: Iterable<string>): string {
  const taken = new Set(others);
  if (!taken.has(name)) return name;
  const stem = name.replace(/ \d+$/, "");
  for (let number = 2; ; number++) {
    const numbered = `${stem} ${number}`;
    if (!taken.has(numbered)) return numbered;
  }
}
