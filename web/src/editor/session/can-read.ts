/**
 * Whether a program may read input. Of a program that certainly reads none, the line for its input
 * is not shown. In doubt the answer is yes.
 */

/** Modules of Python that read nothing from standard input unless the program names it. */
const PYTHON_MODULES = new Set(
  ("bisect calendar cmath collections colorsys copy dataclasses datetime decimal enum fractions " +
    "functools heapq itertools json livecode math matplotlib numpy operator pandas queue random re " +
    "statistics string textwrap time turtle typing").split(" "),
);
/** The words of Python by which a program reads, or by which it does what its text does not tell. */
const PYTHON_READS =
  /input|stdin|\b(open|exec|eval|compile|getattr|globals|locals|vars|help|breakpoint)\b|__/i;
const PYTHON_IMPORT =
  /^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import\b[^;\n]*|import[ \t]+([\w., \t]+?))[ \t]*(?:#.*)?$/gm;
const SCRIPT_READS =
  /stdin|readline|prompt|process|global|eval|Function|constructor|\bimport\b|\brequire\b/;
/** How a script gets the module `livecode`, which reads no input. */
const SCRIPT_IMPORT = /\bimport\b[^;"'\n]*["']livecode["']|\brequire\(["']livecode["']\)/g;

function isPythonReading(text: string): boolean {
  if (PYTHON_READS.test(text)) return true;
  let known = 0;
  for (const [, from, list] of text.matchAll(PYTHON_IMPORT)) {
    known++;
    const modules = (from ?? list ?? "").split(",").map((part) => part.trim().split(/[. \t]/)[0]);
    if (!modules.every((module) => PYTHON_MODULES.has(module ?? ""))) return true;
  }
  // An import that is written in another way may be of any module.
  return (text.match(/\bimport\b/g)?.length ?? 0) !== known;
}

/** Whether a program of a runtime, with these texts as its files, may read input. */
export function canRead(runtime: string, texts: Iterable<string>): boolean {
  const name = runtime.replace(/@.*$/, "").replace(/-canvas$/, "");
  const all = [...texts];
  switch (name) {
    case "mypy":
      return false;
    case "sqlite":
      return all.some((text) => /stdin|readfile|\/dev|\/proc/i.test(text));
    case "python":
    case "joy":
      return all.some(isPythonReading);
    case "javascript":
      return all.some((text) => SCRIPT_READS.test(text.replaceAll(SCRIPT_IMPORT, "")));
    default:
      return true;
  }
}
