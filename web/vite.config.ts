import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { defineConfig, type Plugin } from "vite";

/**
 * The entries. One run of vite builds one of them, which `--mode` selects: `client` is the module,
 * `classic` the script for a `<script>` tag, `editor` the editor, `page` the front page, and `embed`
 * the page for frames.
 */
const ENTRIES: Record<string, [source: string, file: string, format: "es" | "iife"]> = {
  client: ["src/client/index.ts", "livecode-client.js", "es"],
  classic: ["src/classic/index.ts", "livecode.js", "iife"],
  editor: ["src/editor/index.ts", "livecode-editor.js", "es"],
  page: ["src/page/index.ts", "livecode-page.js", "es"],
  embed: ["src/embed/index.ts", "livecode-embed.js", "es"],
};

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

/** Copies the HTML of a page unchanged: `page.html` of `page`, or `embed.html` of `embed`. */
const copyHtml = (mode: string): Plugin => ({
  name: "copy-html",
  generateBundle() {
    const fileName = `${mode}.html`;
    const source = readFileSync(join(import.meta.dirname, "src", mode, fileName));
    this.emitFile({ type: "asset", fileName, source });
  },
});

export default defineConfig(({ mode }) => {
  const [source, file, format] = ENTRIES[mode] ?? ENTRIES.client!;
  return {
    // Files with environment variables must not change the output, so none is read.
    envDir: false,
    logLevel: "warn",
    plugins: mode === "page" || mode === "embed" ? [copyHtml(mode), licences] : [licences],
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
