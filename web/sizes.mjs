// Prints the sizes of the built files, in bytes.
import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const folder = new URL("dist/", import.meta.url);
for (const name of readdirSync(folder).filter((name) => !name.endsWith(".txt"))) {
  const bytes = readFileSync(new URL(name, folder));
  console.log(`${name}: ${bytes.length} bytes, ${gzipSync(bytes, { level: 9 }).length} gzipped`);
}
