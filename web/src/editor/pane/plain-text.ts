/** The output as plain text, as it is copied and downloaded. The file is loaded with the first run. */

/** The rows of a table as lines, with a tab between two cells, as spreadsheets take them. */
function rowsOf(table: HTMLTableElement): string {
  const lines = [...table.rows].map((row) =>
    [...row.cells].map((cell) => (cell.textContent ?? "").replace(/\s+/g, " ")).join("\t"),
  );
  return lines.map((line) => `${line}\n`).join("");
}

/** The text of an output. A table, and the note that something is missing, begin with a line. */
export function plainTextOf(output: Element): string {
  let text = "";
  for (const node of output.childNodes) {
    const table = node instanceof Element ? node.querySelector("table") : null;
    if (table && text && !text.endsWith("\n")) text += "\n";
    if (table) text += rowsOf(table);
    else if (node instanceof HTMLDivElement) text += `${node.textContent}\n`;
    else text += node.textContent ?? "";
  }
  return text;
}

/**
 * Copies a text. Browsers allow the clipboard's interface only to pages that were loaded over TLS or
 * from loopback, and to frames whose page allows it; elsewhere a text field of `root` is copied.
 */
export async function copy(text: string, place: HTMLElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "copied";
    const focused = (place.getRootNode() as ShadowRoot).activeElement as HTMLElement | null;
    place.append(field);
    field.select();
    const isCopied = document.execCommand("copy");
    field.remove();
    focused?.focus();
    return isCopied;
  }
}

/** Saves a text as a file. */
export function download(name: string, text: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
  link.download = name;
  link.click();
  // The browser reads the content after the click.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
