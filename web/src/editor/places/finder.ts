/**
 * The places in a program's files that its output names: where a traceback passed, or a compiler
 * found a mistake. The output is a stranger's, so a place may be wrong; it is only shown.
 */

/** A place in a file of the program. Lines and columns begin with 1. */
export interface Place {
  file: string;
  line: number;
  column: number | undefined;
}

/** A place, and the part of a line of output that names it, as indices of characters. */
export interface FoundPlace extends Place {
  from: number;
  to: number;
}

/** Finds the places that a line of output names. */
export type FindPlaces = (text: string) => FoundPlace[];

/** The names under which messages know a file without a name: the server calls it so. */
const UNNAMED = String.raw`[Mm]ain\.\w{1,4}`;
/** The folder of the program's files, as messages name it. Those of other folders are not found. */
const FOLDER = String.raw`(?<![\w./\\-])(?:(?:file://)?/code/|\./)?`;
/**
 * The line and the column behind the name: `:3:5`, `(3,5)`, `", line 3`, ` on line 3`, `: line 3`
 * or `#3`.
 */
const BEHIND = String.raw`"?(?::(\d+)(?::(\d+))?|:?\((\d+)(?:,(\d+))?\)|[:,]? (?:on )?line (\d+)|#(\d+))(?!\d)`;
/** The line before the name, as Fortran has it. */
const BEFORE = String.raw`\b[Aa]t line (\d+) of file `;
/** The classes of Java, after which its files are named. */
const JAVA_CLASS = /\b(?:class|interface|enum|record)\s+([A-Z]\w*)/g;

const escaped = (name: string) => name.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);

/** The forms in which messages name the file without a name. */
function unnamedForms(runtime: string, text: string): string[] {
  if (!runtime.startsWith("java")) return [UNNAMED];
  const classes = [...text.matchAll(JAVA_CLASS)].map(([, name]) => `${name}\\.java`);
  return [UNNAMED, ...new Set(classes)];
}

/** A function that finds places in the files of a program, whose texts are given by file name. */
export function placeFinder(runtime: string, files: Map<string, string>): FindPlaces {
  const names = [...files.keys()].filter(Boolean);
  // A longer name may end with a shorter one.
  const forms = names.sort((a, b) => b.length - a.length).map(escaped);
  const unnamed = files.get("");
  if (unnamed !== undefined) forms.push(...unnamedForms(runtime, unnamed));
  if (forms.length === 0) return () => [];
  const name = `(?<name>${forms.join("|")})`;
  const behind = new RegExp(`${FOLDER}${name}${BEHIND}`, "g");
  const before = new RegExp(`${BEFORE}${FOLDER}${name}`, "g");
  const [first = ""] = files.keys();
  const found = (match: RegExpMatchArray, line: string, column?: string): FoundPlace => ({
    file: names.includes(match.groups?.name ?? "") ? (match.groups?.name as string) : first,
    line: Number(line),
    column: column === undefined ? undefined : Number(column),
    from: match.index as number,
    to: (match.index as number) + match[0].length,
  });
  return (text) => {
    // Most lines of a flood name none.
    if (!/\d/.test(text)) return [];
    const places = [...text.matchAll(behind)].map((match) => {
      const [, , a, column, b, otherColumn, c, d] = match;
      return found(match, (a ?? b ?? c ?? d) as string, column ?? otherColumn);
    });
    if (places.length > 0) return places;
    if (runtime === "sqlite") {
      return [...text.matchAll(/\bnear line (\d+)/g)].map((match) => found(match, match[1] as string));
    }
    return [...text.matchAll(before)].map((match) => found(match, match[1] as string));
  };
}
