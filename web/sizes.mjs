// Prints the sizes of the built files.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

for (const name of ["livecode.js", "livecode-client.js"]) {
  const bytes = readFileSync(new URL(`dist/${name}`, import.meta.url));
  console.log(`${name}: ${bytes.length} bytes, ${gzipSync(bytes, { level: 9 }).length} gzipped`);
}
