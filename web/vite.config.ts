import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { defineConfig, type Plugin } from "vite";
import en from "./src/words/en.js";
import { LANGUAGES } from "./src/words/words.js";

/**
 * The entries. One run of vite builds one of them, which `--mode` selects: `client` is the module,
 * `classic` the script for a `<script>` tag, `editor` the editor, `page` the front page, and `embed` the
 * page for frames; `words-en` has the words of the interface in English, and so has one for each
 * further language.
 */
const ENTRIES: Record<string, [source: string, file: string, format: "es" | "iife"]> = {
  client: ["src/client/index.ts", "livecode-client.js", "es"],
  classic: ["src/classic/index.ts", "livecode.js", "iife"],
  editor: ["src/editor/index.ts", "livecode-editor.js", "es"],
  page: ["src/page/index.ts", "livecode-page.js", "es"],
  embed: ["src/embed/index.ts", "livecode-embed.js", "es"],
};
for (const language of Object.keys(LANGUAGES)) {
  const name = `words-${language}`;
  ENTRIES[name] = [`src/words/${language}.ts`, `livecode-${name}.js`, "es"];
}

interface Chunk {
  name: string;
  facadeModuleId: string | null;
  moduleIds: string[];
}

/** The name of a chunk of the editor, by its content. Each language is a chunk of its own. */
function chunkName({ name, facadeModuleId, moduleIds }: Chunk): string {
  const language = /@codemirror\/lang-(\w+)/.exec(facadeModuleId ?? "")?.[1];
  const has = (part: string) => moduleIds.some((id) => id.includes(part));
  if (language) return language;
  if (has("@codemirror/view")) return "core";
  if (has("@lezer/lr")) return "parser";
  return has("@codemirror/autocomplete") ? "completion" : name;
}

/**
 * Writes `licences.txt` with the licences of all packages in the bundle, which require that their
 * text is distributed with the code.
 */
const licences: Plugin = {
  name: "licences",
  generateBundle(_, bundle) {
    const packages = new Set<string>();
    for (const chunk of Object.values(bundle)) {
      for (const id of chunk.type === "chunk" ? chunk.moduleIds : []) {
        const name = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(id)?.[1];
        if (name) packages.add(name);
      }
    }
    if (packages.size === 0) return;
    // The editor is built before the page, which adds its own packages to the editor's.
    const path = join(import.meta.dirname, "dist/licences.txt");
    const earlier = existsSync(path) ? [readFileSync(path, "utf8")] : [];
    const texts = [...packages].sort().map((name) => {
      const folder = join(import.meta.dirname, "node_modules", name);
      const file = readdirSync(folder).find((file) => /^licen[cs]e/i.test(file));
      if (!file) throw new Error(`${name} has no licence file`);
      return `${name}\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
    });
    this.emitFile({ type: "asset", fileName: "licences.txt", source: [...earlier, ...texts].join("\n---\n\n") });
  },
};

/** Puts the English words into an HTML text, where attributes of its elements name them. */
function withWords(html: string): string {
  const wordOf = (key: string) => {
    const word = (en as Record<string, unknown>)[key];
    if (typeof word !== "string") throw new Error(`the page names ${key}, which is no word`);
    return word.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
  };
  return html
    .replace(/(<[^>]*\bdata-word="(\w+)"[^>]*>)(?=<\/)/g, (_, tag: string, key: string) => tag + wordOf(key))
    .replace(/\bdata-word-label="(\w+)"/g, (all, key: string) => `${all} aria-label="${wordOf(key)}"`)
    .replace(/\bdata-word-content="(\w+)"/g, (all, key: string) => `${all} content="${wordOf(key)}"`);
}

/** Writes the HTML of a page with the English words: `page.html` of `page`, or `embed.html` of `embed`. */
const writeHtml = (mode: string): Plugin => ({
  name: "write-html",
  generateBundle() {
    const fileName = `${mode}.html`;
    const source = withWords(readFileSync(join(import.meta.dirname, "src", mode, fileName), "utf8"));
    this.emitFile({ type: "asset", fileName, source });
  },
});

/**
 * Replaces the code by which vite loads a chunk. Vite's own would preload styles and further
 * files, of which our chunks have none, and is not small.
 */
const plainLoading: Plugin = {
  name: "plain-loading",
  enforce: "pre",
  load: (id) =>
    id.endsWith("vite/preload-helper.js") ? "export const __vitePreload = (load) => load();" : null,
};

export default defineConfig(({ mode }) => {
  const [source, file, format] = ENTRIES[mode] ?? ENTRIES.client!;
  return {
    // Files with environment variables must not change the output, so none is read.
    envDir: false,
    logLevel: "warn",
    plugins: [
      plainLoading,
      licences,
      ...(mode === "page" || mode === "embed" ? [writeHtml(mode)] : []),
    ],
    build: {
      target: "es2022",
      outDir: "dist",
      emptyOutDir: false,
      copyPublicDir: false,
      modulePreload: false,
      rolldownOptions: {
        input: resolve(import.meta.dirname, source),
        preserveEntrySignatures: "strict",
        output: {
          format,
          entryFileNames: file,
          assetFileNames: `livecode-${mode}[extname]`,
          chunkFileNames: (chunk) =>
            mode === "page"
              ? `livecode-page-${chunk.name}.js`
              : `livecode-editor-${chunkName(chunk)}.js`,
        },
      },
    },
  };
});
