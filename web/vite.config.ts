import { resolve } from "node:path";
import { defineConfig } from "vite";

/** One file a run: `--mode client` the module, `--mode classic` the script for a `<script>` tag. */
export default defineConfig(({ mode }) => {
  const isClassic = mode === "classic";
  const entry = isClassic ? "src/classic/index.ts" : "src/client/index.ts";
  return {
    // What stands in somebody's environment must not change the bytes.
    envDir: false,
    logLevel: "warn",
    build: {
      target: "es2022",
      outDir: "dist",
      emptyOutDir: false,
      copyPublicDir: false,
      minify: "oxc",
      lib: {
        entry: resolve(import.meta.dirname, entry),
        formats: [isClassic ? "iife" : "es"],
        name: "LiveCode",
        fileName: () => (isClassic ? "livecode.js" : "livecode-client.js"),
      },
    },
  };
});
