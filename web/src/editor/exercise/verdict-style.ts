/** The style sheet of what an exercise shows. */

export const VERDICT_STYLE = `
.verdict, .cases, .solution { padding: 8px 14px; border-top: 1px solid var(--line); } .verdict:empty { display: none; }
.verdict { color: var(--red); } .verdict[data-passed=true], .cases [data-passed=true] { color: var(--green); }
.cases { color: var(--text); } .cases ul { margin: 0; padding: 0; list-style: none; overflow-wrap: anywhere; } .cases li { padding: 2px 0; }
.cases summary { color: var(--red); } .cases details p { margin: 8px 0 0; } .cases .quiet { margin: 8px 0 0; color: var(--quiet); }
.diff-expected { color: var(--green); } .diff-printed { color: var(--red); }
.report pre { margin: 8px 0 0; max-height: 20em; overflow: auto; color: var(--text); font: calc(var(--code-size, 14px) * var(--scale, 1))/1.5 var(--mono); }
.cases pre { margin: 4px 0 0; } summary { cursor: pointer; }
`;
