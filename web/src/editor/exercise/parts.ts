/** The parts of a program, as the children of its element give them. */

import type { Case } from "../../client/index.js";
import { words } from "../../words/words.js";
import { dedent } from "../program.js";

/** The lines of a file that users cannot change, from 1; or all of them. */
export type FixedLines = number[] | "all";

export interface Parts {
  /** The texts that users see, by file name. The first one runs. */
  files: Map<string, string>;
  /** The lines that users cannot change, by file name. */
  fixed: Map<string, FixedLines>;
  /** Code that runs before and after that of the first file, and is not shown. */
  setup: string;
  teardown: string;
  /** The whole input of the program. */
  stdin: string | undefined;
  /** The output that is expected. */
  expected: string | undefined;
  solution: string | undefined;
  /** The cases with which the program is run. */
  cases: Case[] | undefined;
  /** Why the program cannot be run, in words. */
  problem: string | undefined;
}

/** The parts of a program that consists of files alone. */
export const partsOf = (files: Map<string, string>): Parts => ({
  files,
  fixed: new Map(),
  setup: "",
  teardown: "",
  stdin: undefined,
  expected: undefined,
  solution: undefined,
  cases: undefined,
  problem: undefined,
});

/** Characters for private use, which stand around fixed text while its lines are counted. */
const OPEN = "\ue000";
const CLOSE = "\ue001";

/** The lines of a text that have something between the characters above. */
function fixedLinesIn(marked: string): number[] {
  const fixed: number[] = [];
  let depth = 0;
  marked.split("\n").forEach((line, index) => {
    const isInside = depth > 0;
    let hasFixed = false;
    for (const character of line) {
      if (character === OPEN) depth++;
      else if (character === CLOSE) depth--;
      else hasFixed ||= depth > 0;
    }
    if (hasFixed || (line === "" && isInside)) fixed.push(index + 1);
  });
  return fixed;
}

/** The code in an element that is part of no page, and the lines that users cannot change. */
function readCode(element: HTMLElement): { text: string; fixed: FixedLines } {
  for (const part of element.querySelectorAll("[data-readonly]")) {
    part.prepend(OPEN);
    part.append(CLOSE);
  }
  const marked = element.textContent ?? "";
  const plain = marked.replace(/[\ue000\ue001]/g, "");
  const text = dedent(plain);
  if (element.dataset.readonly !== undefined) return { text, fixed: "all" };
  // The first line is left out if it is empty.
  const skipped = /^[ \t]*\r?\n/.test(plain) ? 1 : 0;
  return { text, fixed: fixedLinesIn(marked).map((line) => line - skipped) };
}

/** The cases in a text of JSON, or why there are none. */
function readCases(text: string): Pick<Parts, "cases" | "problem"> {
  try {
    const cases: unknown = JSON.parse(text);
    if (!Array.isArray(cases)) throw new Error("the JSON is no list");
    return { cases: cases as Case[], problem: undefined };
  } catch (error) {
    return { cases: undefined, problem: words.damagedCases((error as Error).message) };
  }
}

/**
 * The parts that an element's children give: those with `data-part`, and the files, which are
 * those with `data-filename`, or else the only `<pre>`, or the remaining text.
 */
export function partsIn(element: HTMLElement): Parts {
  // The page's own elements stay as they are.
  const copy = document.createElement("div");
  copy.append(...[...element.childNodes].map((node) => node.cloneNode(true)));
  const given: Partial<Record<string, string>> = {};
  for (const part of copy.querySelectorAll<HTMLElement>("[data-part]")) {
    const content = part instanceof HTMLTemplateElement ? part.content : part;
    given[part.dataset.part ?? ""] = dedent(content.textContent ?? "");
    // The line on which a part stands is no line of the code.
    const { previousSibling: before } = part;
    if (before instanceof Text) before.data = before.data.replace(/\r?\n[ \t]*$/, "");
    part.remove();
  }
  const { setup = "", teardown = "", stdin, expected, solution, cases } = given;
  const parts: Parts = {
    ...{ ...partsOf(new Map()), setup, teardown, stdin, expected, solution },
    ...(cases === undefined ? {} : readCases(cases)),
  };
  const add = (name: string, { text, fixed }: ReturnType<typeof readCode>) => {
    parts.files.set(name, text);
    const lines = element.hasAttribute("readonly") ? "all" : fixed;
    if (lines.length > 0) parts.fixed.set(name, lines);
  };
  const files = [...copy.querySelectorAll<HTMLElement>("[data-filename]")];
  for (const file of files) add(file.dataset.filename ?? "", readCode(file));
  if (files.length > 0) return parts;
  const [only, ...others] = copy.querySelectorAll<HTMLElement>("pre");
  const isAlone = only && others.length === 0 && only.textContent?.trim() === copy.textContent?.trim();
  add("", readCode(isAlone ? only : copy));
  return parts;
}
