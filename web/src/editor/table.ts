/** A program's tables: as text throughout, and never more of one than a page bears. */

import type { Message } from "../client/index.js";
import { make } from "./make.js";

/** How many rows, columns and cells of a table are shown. */
const ROWS_MAX = 200;
const COLUMNS_MAX = 50;
const CELLS_MAX = 4000;
/** What a cell counts for among the characters that are kept, and a table at least. */
const CELL_COST = 40;
const COST_MIN = 20_000;

const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

/** What JSON says, as text. */
function words(value: unknown): string {
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** How many rows and columns of it show. */
function shown({ columns, rows }: Message): [rows: number, columns: number] {
  const wide = Math.max(list(columns).length, list(list(rows)[0]).length, 1);
  const across = Math.min(wide, COLUMNS_MAX);
  return [Math.min(list(rows).length, ROWS_MAX, Math.floor(CELLS_MAX / across)), across];
}

/** What a `table` message counts for among the characters that are kept. */
export function tableCost(message: Message): number {
  const [down, across] = shown(message);
  return Math.max(COST_MIN, CELL_COST * down * across);
}

/** A `table` message as a table; where it is not whole, that is said. */
export function table(message: Message): HTMLTableElement {
  const { columns, rows, index } = message;
  const [down, across] = shown(message);
  const labels = list(index);
  const head = make("tr", {}, ...(labels.length ? [make("td")] : []));
  for (const name of list(columns).slice(0, across)) head.append(make("th", { scope: "col" }, words(name)));
  const body = make("tbody");
  for (const [at, row] of list(rows).slice(0, down).entries()) {
    const label = labels.length ? [make("th", { scope: "row" }, words(labels[at]))] : [];
    body.append(make("tr", {}, ...label, ...list(row).slice(0, across).map((value) => make("td", {}, words(value)))));
  }
  const made = make("table", {}, make("thead", {}, head), body);
  const all = (total: unknown, sent: unknown) => (typeof total === "number" ? total : list(sent).length);
  const cut = [[down, all(message.total_rows, rows), "rows"], [Math.min(across, list(columns).length), all(message.total_columns, columns), "columns"]] as const;
  const missing = cut.filter(([there, total]) => there < total).map(([there, total, what]) => `${there} of ${total} ${what}`);
  if (missing.length) made.prepend(make("caption", {}, missing.join(", ")));
  return made;
}
