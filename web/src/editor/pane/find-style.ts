/** The style sheet of the search in the output. */

export const FIND_STYLE = `
.find { grid-area: 1 / 1; position: sticky; top: 0; z-index: 1; display: flex; flex-wrap: wrap; gap: 6px; align-items: center; padding: 6px 10px; background: var(--soft); border-bottom: 1px solid var(--line); }
.find input { flex: 1 1 4em; min-width: 4em; } .find button { min-width: 36px; padding: 4px 8px; } .count { color: var(--quiet); text-align: center; }
::highlight(livecode-found) { background: light-dark(#ffe89a, #5d4a00); color: light-dark(#1b2030, #fff); }
::highlight(livecode-found-current) { background: light-dark(#f7a707, #f2b84b); color: #000; text-decoration: underline 2px; }
`;
