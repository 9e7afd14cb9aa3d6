/** The snippets of a page on which another one builds: their code runs before its own. */

import { words } from "../../words/words.js";

/** An editor in a page. */
interface Snippet extends HTMLElement {
  /** The texts by file name, the first of which runs. */
  readonly files: Map<string, string>;
}

/** What runs before the first file of a snippet. */
export interface Before {
  /** The code, which is empty or ends with a line break. */
  code: string;
  /** Further files, by name. */
  files: Map<string, string>;
}

/** The code that is not shown and runs before that of a snippet. */
const setups = new Map<Element, string>();

/** Makes a snippet known to those that build on it. */
export function addSnippet(snippet: Snippet, setup: string): void {
  setups.set(snippet, setup);
}

export function removeSnippet(snippet: Snippet): void {
  setups.delete(snippet);
}

/** All snippets that are in the page. */
export const allSnippets = <T extends Snippet>() => [...setups.keys()] as T[];

/** The snippets on which one builds by its attribute `depends`. Throws if there is no such one. */
function directDependencies(snippet: Snippet): Snippet[] {
  const ids = snippet.getAttribute("depends")?.split(/\s+/).filter(Boolean) ?? [];
  const root = snippet.getRootNode() as Document | ShadowRoot;
  return ids.map((id) => {
    const found = root.getElementById?.(id);
    if (!found || !setups.has(found)) throw new Error(words.noSnippet(id));
    return found as Snippet;
  });
}

/**
 * What runs before a snippet: the snippets on which it builds, directly or not, each once and
 * after those on which it builds itself, and the snippet's own setup. Nothing runs before itself,
 * also if snippets build on each other in a circle.
 */
export function beforeOf(snippet: Snippet): Before {
  const known = new Set([snippet]);
  const texts: string[] = [];
  const files = new Map<string, string>();
  const add = (one: Snippet) => {
    for (const dependency of directDependencies(one)) {
      if (known.has(dependency)) continue;
      known.add(dependency);
      // This adds the dependency's own setup as well.
      add(dependency);
      const [[, code] = ["", ""], ...others] = dependency.files;
      texts.push(code);
      for (const [name, text] of others) files.set(name, text);
    }
    texts.push(setups.get(one) ?? "");
  };
  add(snippet);
  const code = texts
    .filter((text) => text.trim())
    .map((text) => (text.endsWith("\n") ? text : `${text}\n`))
    .join("");
  return { code, files };
}
