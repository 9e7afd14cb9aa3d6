/** The files of a program, as the page gives them. */

/** The name of the only file if the page gives it none. */
export const UNNAMED_FILE = "code";

/** A program: the text of its only file, or the texts of several by their names. */
export type Program = string | Map<string, string>;

/** The texts of a program by file name. */
export function named(program: Program): Map<string, string> {
  const files = typeof program === "string" ? [["", program] as const] : [...program];
  return new Map(files.map(([name, text]) => [name || UNNAMED_FILE, text]));
}

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

/** The files in an element: its children with `data-filename`, or else the element's text. */
export function filesIn(element: HTMLElement): Map<string, string> {
  const children = [...element.querySelectorAll<HTMLElement>("[data-filename]")];
  if (children.length === 0) return named(dedent(element.textContent ?? ""));
  return new Map(
    children.map(({ dataset, textContent }) => [
      dataset.filename ?? UNNAMED_FILE,
      dedent(textContent ?? ""),
    ]),
  );
}
