/** How many columns of a terminal a text takes, as terminals count them. */

/** Texts of which each UTF-16 code unit is a character of one column. Most output is of this kind. */
const NARROW = /^[ -~\xa0-\xac\xae-\u02ff\u0370-\u0482\u2500-\u25fc\u2800-\u28ff]*$/;
/** Characters of two columns: those of East Asian scripts, and those that are shown as emoji. */
const WIDE =
  /^(?![\u{1f1e6}-\u{1f1ff}])[\p{Emoji_Presentation}\u1100-\u115f\u2e80-\u303e\u3040-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]/u;
/** Characters that combine with the one before, and those that are not shown. */
const COMBINING = /^(?!\xad)[\p{Mn}\p{Me}\p{Cf}\u1160-\u11ff]/u;

export interface Character {
  text: string;
  columns: number;
}

/** Whether each UTF-16 code unit of a text is known to be a character of one column. */
export const isNarrow = (text: string): boolean => NARROW.test(text);

/** The characters of a text, each with those that combine with it. */
export function charactersOf(text: string): Character[] {
  const all: Character[] = [];
  for (const one of text) {
    const last = all.at(-1);
    if (!COMBINING.test(one)) all.push({ text: one, columns: WIDE.test(one) ? 2 : 1 });
    else if (last) last.text += one;
    else all.push({ text: one, columns: 0 });
  }
  return all;
}

/** The longest beginning of a text that takes at most `max` columns, and its columns. */
export function takeColumns(text: string, max: number): Character {
  if (isNarrow(text)) return { text: text.slice(0, max), columns: Math.min(text.length, max) };
  let [length, columns] = [0, 0];
  for (const one of charactersOf(text)) {
    if (columns + one.columns > max) break;
    length += one.text.length;
    columns += one.columns;
  }
  return { text: text.slice(0, length), columns };
}

/** The part of a text between two columns. Half of a character is shown as a space. */
export function cutColumns(text: string, from: number, to: number): string {
  if (isNarrow(text)) return text.slice(from, to);
  let [cut, at] = ["", 0];
  for (const { text: one, columns } of charactersOf(text)) {
    const shared = Math.min(at + columns, to) - Math.max(at, from);
    if (shared === columns && at >= from) cut += one;
    else if (shared > 0) cut += " ".repeat(shared);
    at += columns;
  }
  return cut;
}
