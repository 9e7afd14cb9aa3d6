import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { defineConfig, type Plugin } from "vite";

/** One entry a run: `--mode client` the module, `--mode classic` the script for a `<script>` tag, `--mode editor` the editor, `--mode page` the server's front page. */
const ENTRIES: Record<string, [source: string, file: string, format: "es" | "iife"]> = {
  client: ["src/client/index.ts", "livecode-client.js", "es"],
  classic: ["src/classic/index.ts", "livecode.js", "iife"],
  editor: ["src/editor/index.ts", "livecode-editor.js", "es"],
  page: ["src/page/front/index.ts", "livecode-page.js", "es"],
};

/** A part of the editor is named by what is in it: each language is one, and loaded when a program is written in it. */
function partName({ name, facadeModuleId, moduleIds }: { name: string; facadeModuleId: string | null; moduleIds: string[] }): string {
  const language = /@codemirror\/lang-(\w+)/.exec(facadeModuleId ?? "")?.[1];
  const has = (part: string) => moduleIds.some((id) => id.includes(part));
  return language ?? (has("@codemirror/view") ? "core" : has("@lezer/lr") ? "parser" : has("@codemirror/autocomplete") ? "completion" : name);
}

/** Whose work is in the files that we give away, and under which licence: theirs say that their words come along. */
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
    const words = [...packages].sort().map((name) => {
      const folder = join(import.meta.dirname, "node_modules", name);
      const file = readdirSync(folder).find((file) => /^licen[cs]e/i.test(file));
      if (!file) throw new Error(`${name} brings no licence`);
      return `${name}\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
    });
    this.emitFile({ type: "asset", fileName: "licences.txt", source: words.join("\n---\n\n") });
  },
};

/** The front page itself, as it stands. */
const frontPage: Plugin = {
  name: "front-page",
  generateBundle() {
    const source = readFileSync(join(import.meta.dirname, "src/page/front/page.html"));
    this.emitFile({ type: "asset", fileName: "page.html", source });
  },
};

export default defineConfig(({ mode }) => {
  const [source, file, format] = ENTRIES[mode] ?? ENTRIES.client!;
  return {
    // What stands in somebody's environment must not change the bytes.
    envDir: false,
    logLevel: "warn",
    plugins: mode === "page" ? [frontPage] : [licences],
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
          assetFileNames: "livecode-page[extname]",
          chunkFileNames: (chunk) => `livecode-editor-${partName(chunk)}.js`,
        },
      },
    },
  };
});
