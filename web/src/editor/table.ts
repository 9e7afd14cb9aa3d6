/** Creates the elements for a program's tables. All content is text, and large tables are cut. */

import type { Message } from "../client/index.js";
import { words } from "../words/words.js";
import { createElement } from "./create-element.js";

/** The number of rows, columns and cells of a table that are shown. */
const MAX_ROWS = 200;
const MAX_COLUMNS = 50;
const MAX_CELLS = 4000;
/** The cost of a cell, and the least cost of a table, in characters of the output that is kept. */
const CELL_COST = 40;
const MIN_COST = 20_000;

const arrayOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

/** The text for the value of a cell. */
function cellText(value: unknown): string {
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** The number of rows and columns that are shown. */
function shownSize({ columns, rows }: Message): [rows: number, columns: number] {
  const width = Math.max(arrayOf(columns).length, arrayOf(arrayOf(rows)[0]).length, 1);
  const columnCount = Math.min(width, MAX_COLUMNS);
  const rowsInLimit = Math.floor(MAX_CELLS / columnCount);
  return [Math.min(arrayOf(rows).length, MAX_ROWS, rowsInLimit), columnCount];
}

/** The cost of a `table` message, in characters of the output that is kept. */
export function tableCost(message: Message): number {
  const [rowCount, columnCount] = shownSize(message);
  return Math.max(MIN_COST, CELL_COST * rowCount * columnCount);
}

function createCell(value: unknown): HTMLTableCellElement {
  return createElement("td", typeof value === "number" ? { class: "number" } : {}, cellText(value));
}

/**
 * Creates the element for a `table` message. A table that is wider than the output can be scrolled.
 * A caption tells if rows or columns are missing.
 */
export function createTable(message: Message): HTMLElement {
  const { columns, rows, index } = message;
  const [rowCount, columnCount] = shownSize(message);
  const labels = arrayOf(index);
  const head = createElement("tr", {}, ...(labels.length ? [createElement("td")] : []));
  for (const name of arrayOf(columns).slice(0, columnCount)) {
    head.append(createElement("th", { scope: "col" }, cellText(name)));
  }
  const body = createElement("tbody");
  for (const [at, row] of arrayOf(rows).slice(0, rowCount).entries()) {
    const line = createElement("tr");
    if (labels.length) line.append(createElement("th", { scope: "row" }, cellText(labels[at])));
    for (const value of arrayOf(row).slice(0, columnCount)) {
      line.append(createCell(value));
    }
    body.append(line);
  }
  const table = createElement("table", {}, createElement("thead", {}, head), body);
  // A program that sends a part of a table tells the size of the whole table.
  const total = (stated: unknown, sent: unknown) =>
    typeof stated === "number" ? stated : arrayOf(sent).length;
  const shownColumns = Math.min(columnCount, arrayOf(columns).length);
  const counts = [
    [rowCount, total(message.total_rows, rows), words.rowsShown],
    [shownColumns, total(message.total_columns, columns), words.columnsShown],
  ] as const;
  const missing = counts
    .filter(([shown, all]) => shown < all)
    .map(([shown, all, describe]) => describe(shown, all));
  if (missing.length) table.prepend(createElement("caption", {}, missing.join(", ")));
  const attributes = { class: "table", role: "group", "aria-label": words.table, tabindex: "0" };
  return createElement("div", attributes, table);
}
