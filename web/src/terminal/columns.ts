/** How many columns of a terminal a text takes, as terminals count them. */

/** Texts of which each UTF-16 code unit is a character of one column. Most output is of this kind. */
const NARROW = /^[ -~\xa0-\xac\xae-\u02ff\u0370-\u0482\u2500-\u25fc\u2800-\u28ff]*$/;
/** Characters of two columns: those of East Asian scripts, and those that are shown as emoji. */
const WIDE =
  /^(?![\u{1f1e6}-\u{1f1ff}])[\p{Emoji_Presentation}\u1100-\u115f\u2e80-\u303e\u3040-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]/u;
/** Characters that combine with the one before, and those that are not shown. */
const COMBINING = /^(?!\xad)[\p{Mn}\p{Me}\p{Cf}\u1160-\u11ff]/u;

/** The longest text of one character, in UTF-16 code units. Marks that exceed it are left out. */
const MAX_CHARACTER_LENGTH = 32;

export interface Character {
  text: string;
  columns: number;
}

/** Whether each UTF-16 code unit of a text is known to be a character of one column. */
export const isNarrow = (text: string): boolean => NARROW.test(text);

/** The columns of one code point: 0 if it combines with the one before, or is not shown. */
function columnsOf(one: string): number {
  // No character before the combining ones is anything else.
  if (one < "\u0300") return 1;
  return COMBINING.test(one) ? 0 : WIDE.test(one) ? 2 : 1;
}

/** A character with those that combine with it. A program may write any number of them. */
export function combine(character: string, marks: string): string {
  let text = character;
  for (const mark of marks) {
    if (text.length + mark.length > MAX_CHARACTER_LENGTH) break;
    text += mark;
  }
  return text;
}

/** The characters of a text, each with those that combine with it. */
export function charactersOf(text: string): Character[] {
  const all: Character[] = [];
  for (const one of text) {
    const columns = columnsOf(one);
    const last = all.at(-1);
    if (columns === 0 && last) last.text = combine(last.text, one);
    else all.push({ text: one, columns });
  }
  return all;
}

/** The longest beginning of a text that takes at most `max` columns, and its columns. */
export function takeColumns(text: string, max: number): Character {
  if (isNarrow(text)) return { text: text.slice(0, max), columns: Math.min(text.length, max) };
  let [length, columns] = [0, 0];
  for (const one of text) {
    const added = columnsOf(one);
    if (columns + added > max) break;
    length += one.length;
    columns += added;
  }
  return { text: text.slice(0, length), columns };
}
