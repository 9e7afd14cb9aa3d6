/** The difference between what is expected and what was printed, line by line. */

/** A line of the difference; a `gap` stands for lines that are not shown. */
export interface DiffLine {
  kind: "same" | "expected" | "printed" | "gap";
  text: string;
}

/** Whether an expected line and a printed one count as the same. */
export type AreSame = (expected: string, printed: string) => boolean;

/** The lines around a difference that are shown with it. */
const CONTEXT_LINES = 3;
/** The lines of a difference that are shown in all. */
const MAX_LINES = 200;
/** The pairs of lines that are compared. In larger texts, all lines between the equal ends differ. */
const MAX_PAIRS = 250_000;

const lineOf = (kind: DiffLine["kind"]) => (text: string) => ({ kind, text });

/** The lines of two texts: those of the longest part that both share are the same. */
function compareLines(expected: string[], printed: string[], areSame: AreSame): DiffLine[] {
  const [rows, columns] = [expected.length, printed.length];
  const lines: DiffLine[] = [];
  let [row, column] = [0, 0];
  if (rows * columns <= MAX_PAIRS) {
    // For each pair of lines, the length of the longest part that both texts share from there on.
    const width = columns + 1;
    const lengths = new Uint16Array((rows + 1) * width);
    const lengthAt = (row: number, column: number) => lengths[row * width + column] as number;
    for (let r = rows - 1; r >= 0; r--) {
      for (let c = columns - 1; c >= 0; c--) {
        const isSame = areSame(expected[r] as string, printed[c] as string);
        const longest = Math.max(lengthAt(r + 1, c), lengthAt(r, c + 1));
        lengths[r * width + c] = isSame ? lengthAt(r + 1, c + 1) + 1 : longest;
      }
    }
    while (row < rows && column < columns) {
      const [left, right] = [expected[row] as string, printed[column] as string];
      const isSame = areSame(left, right);
      const isLeft = isSame || lengthAt(row + 1, column) >= lengthAt(row, column + 1);
      lines.push(isLeft ? { kind: isSame ? "same" : "expected", text: left } : { kind: "printed", text: right });
      if (isLeft) row++;
      if (isSame || !isLeft) column++;
    }
  }
  const rest = expected.slice(row).map(lineOf("expected"));
  return [...lines, ...rest, ...printed.slice(column).map(lineOf("printed"))];
}

/**
 * The difference of two texts as lists of lines: the lines that differ, and a few around them.
 * Empty if no line differs.
 */
export function diffLines(expected: string[], printed: string[], areSame: AreSame): DiffLine[] {
  const shorter = Math.min(expected.length, printed.length);
  const isSameAt = (left: number, right: number) =>
    areSame(expected.at(left) as string, printed.at(right) as string);
  let start = 0;
  while (start < shorter && isSameAt(start, start)) start++;
  let end = 0;
  while (end < shorter - start && isSameAt(-1 - end, -1 - end)) end++;
  const [before, after] = [expected, printed].map((lines) => lines.slice(start, lines.length - end));
  const all = [
    ...expected.slice(0, start).map(lineOf("same")),
    ...compareLines(before as string[], after as string[], areSame),
    ...expected.slice(expected.length - end).map(lineOf("same")),
  ];
  const isNear = new Uint8Array(all.length);
  all.forEach(({ kind }, at) => {
    if (kind !== "same") isNear.fill(1, Math.max(0, at - CONTEXT_LINES), at + CONTEXT_LINES + 1);
  });
  if (!isNear.includes(1)) return [];
  const shown: DiffLine[] = [];
  for (const [at, line] of all.entries()) {
    if (isNear[at] && shown.length < MAX_LINES) shown.push(line);
    else if (shown.at(-1)?.kind !== "gap") shown.push({ kind: "gap", text: "⋯" });
  }
  return shown;
}
