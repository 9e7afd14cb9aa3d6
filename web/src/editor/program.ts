/** The files of a program, as the page gives them. */

/** The name of a file without one beside others. Another file may have this name. */
export const UNNAMED_FILE = "code";

/** A program: the text of its only file, or the texts of several by their names. */
export type Program = string | Map<string, string>;

/** The texts of a program by file name. A single file may have no name, which is empty here. */
export const named = (program: Program): Map<string, string> =>
  new Map<string, string>(typeof program === "string" ? [["", program]] : program);

/** Removes the empty first line and the common indentation, which come from the page's source. */
export function dedent(text: string): string {
  const lines = text
    .replace(/^[ \t]*\r?\n/, "")
    .trimEnd()
    .split(/\r?\n/);
  const indents = lines
    .filter((line) => line.trim())
    .map((line) => (/^[ \t]*/.exec(line) as RegExpExecArray)[0].length);
  const indent = Math.min(...indents, Infinity);
  return lines.map((line) => line.slice(Number.isFinite(indent) ? indent : 0)).join("\n");
}
