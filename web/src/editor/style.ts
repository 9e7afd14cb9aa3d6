/**
 * The editor's style sheet. It follows the `color-scheme` of the page; each pair of text colour
 * and background has a contrast of at least 4.5.
 *
 * Styles of the page apply to the element itself, also those for all elements (`*`), and would be
 * inherited from there. So `.frame`, which such rules cannot reach, begins with initial values. It
 * inherits only what tells whether the element can be seen and used, and the colour scheme.
 *
 * Parts with `::before` as a strut have its height, unless the page gives the element less.
 */

export const STYLE = `
:host { display: flex; flex-direction: column; margin: 1em 0; container: editor / inline-size;
  --ground: light-dark(#fff, #171a22); --text: light-dark(#1b2030, #e6e9f0); --soft: light-dark(#f6f7fa, #1d212b);
  --line: light-dark(#dfe3ea, #2e3442); --edge: light-dark(#7f8897, #707a8d); --quiet: light-dark(#566072, #a4adbd);
  --accent: light-dark(#4338ca, #a5b4fc); --on-accent: light-dark(#fff, #12152b);
  --red: light-dark(#b3261e, #ff8a80); --green: light-dark(#1b6e2b, #7fd68c);
  --yellow: light-dark(#7a5900, #e6c35c); --blue: light-dark(#0b5fc0, #7db4ff); --magenta: light-dark(#8a2a9b, #e29af0);
  --cyan: light-dark(#00696f, #6fd3da); --mono: ui-monospace, "Cascadia Code", "SF Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace; }
:host([hidden]), [hidden] { display: none !important; }
* { box-sizing: border-box; }
.frame { all: initial; box-sizing: border-box; --own: initial; direction: ltr; unicode-bidi: isolate; color-scheme: inherit; visibility: inherit; pointer-events: inherit;
  text-size-adjust: 100%; -webkit-text-size-adjust: 100%; display: flex; flex-direction: column; flex: 1 1 auto; min-height: 0; height: 100%;
  border: 1px solid var(--line); border-radius: 12px; overflow: hidden auto; background: var(--ground); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }
.bar, .tabs { flex: none; }
.bar { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; padding: 8px 10px; background: var(--soft); border-bottom: 1px solid var(--line); }
button, input { font: inherit; color: inherit; min-height: 36px; border: 1px solid var(--line); border-radius: 8px; background: var(--ground);
  padding: 4px 14px; }
input { border-color: var(--edge); }
button { cursor: pointer; }
button:hover:enabled { border-color: var(--edge); }
button:disabled { color: var(--quiet); cursor: default; background: transparent; }
:host([visitor]) :is(.run, .reset) { display: none; }
.run { background: var(--accent); border-color: var(--accent); color: var(--on-accent); font-weight: 600; }
.run::before { content: ""; display: inline-block; margin-right: 8px; width: 8px; height: 10px; background: currentColor; clip-path: polygon(0 0, 100% 50%, 0 100%); }
.run:hover:enabled { filter: brightness(1.08); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.cm-content:focus-visible, .output:focus-visible { outline-offset: -2px; }
.status { margin-left: auto; color: var(--quiet); }
.status:not(:empty)::before { content: ""; display: inline-block; width: 8px; height: 8px; margin-right: 8px; border-radius: 50%; background: var(--quiet); }
:host([data-state=live]) .status::before, :host([data-exitstatus="0"]) .status::before { background: var(--green); }
:host([data-exitstatus]:not([data-exitstatus="0"])) .status::before { background: var(--red); }
.tabs { display: flex; flex-wrap: wrap; gap: 2px; padding: 6px 10px 0; background: var(--soft); }
.tabs button { border-radius: 8px 8px 0 0; border-bottom-color: transparent; background: transparent; }
.tabs [aria-selected=true] { background: var(--ground); font-weight: 600; }
.code { flex: 0 1 auto; min-height: 42px; display: grid; grid-template: minmax(0, 1fr) / minmax(0, 1fr); user-select: text; -webkit-user-select: text; }
.code > *, .code::before { grid-area: 1 / 1; }
.cm-editor { min-height: 0; font-size: calc(var(--code-size, 14px) * var(--scale, 1)); max-height: var(--code-max-height, 60vh); background: var(--ground); color: var(--text); }
.cm-editor.cm-focused { outline: none; }
.cm-editor .cm-scroller { font-family: var(--mono); line-height: 1.6; overflow: auto; }
.cm-editor .cm-content { padding: 10px 0; caret-color: var(--text); }
.cm-editor .cm-gutters { background: var(--ground); color: var(--quiet); border: none; padding-left: 6px; }
.cm-editor .cm-cursor { border-left-color: var(--text); }
.cm-editor .cm-activeLine, .cm-editor .cm-activeLineGutter { background: color-mix(in srgb, var(--soft) 60%, transparent); }
.frame .cm-tooltip.cm-tooltip-autocomplete { border: 1px solid var(--line); border-radius: 8px; overflow: hidden; background: var(--ground); color: var(--text); box-shadow: 0 6px 20px rgb(0 0 0 / 18%); }
.frame .cm-tooltip.cm-tooltip-autocomplete > ul { font: calc(var(--code-size, 14px) * var(--scale, 1))/1.5 var(--mono); max-height: 12em; }
.frame .cm-tooltip.cm-tooltip-autocomplete > ul > li { padding: 2px 12px; }
.frame .cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected] { background: var(--accent); color: var(--on-accent); }
.frame .cm-completionMatchedText { text-decoration: none; font-weight: 700; } .frame .cm-completionDetail { color: inherit; }
.frame .cm-tooltip.cm-signature { padding: 2px 10px; border: 1px solid var(--line); border-radius: 8px; background: var(--ground); color: var(--quiet); box-shadow: 0 4px 14px rgb(0 0 0 / 14%);
  font: calc(var(--code-size, 14px) * var(--scale, 1))/1.5 var(--mono); max-width: min(90%, 50em); } .cm-signature b { color: var(--text); text-decoration: underline; }
.cm-editor .cm-marked { background: color-mix(in srgb, var(--red) 16%, transparent); box-shadow: inset 3px 0 var(--red); }
.cm-editor .cm-warned { background: color-mix(in srgb, var(--yellow) 16%, transparent); box-shadow: inset 3px 0 var(--yellow); }
.cm-editor .cm-fixed { background: var(--soft); box-shadow: inset 1px 0 var(--edge); }
.tok-keyword { color: var(--magenta); } .tok-string, .tok-string2 { color: var(--green); } .tok-comment { color: var(--quiet); font-style: italic; }
.tok-number, .tok-bool, .tok-atom { color: var(--yellow); } .tok-definition, .tok-typeName, .tok-className { color: var(--blue); }
.sized.sized.sized > .code { flex: 0 0 var(--code-height); } .sized.sized.sized .cm-editor { max-height: none; }
.divider { --reach: -5px; flex: none; position: relative; z-index: 1; height: 1px; background: var(--line); cursor: row-resize; touch-action: none; }
.divider::before { content: ""; position: absolute; inset: var(--reach) 0; }
.divider:is(:hover, :active) { background: var(--edge); box-shadow: 0 0 0 1px var(--edge); }
.shown { flex: 1 1 auto; min-height: 43px; display: grid; grid-template: auto auto minmax(3em, 1fr) auto / minmax(0, 1fr); overflow: hidden auto; }
.canvas { grid-area: 2 / 1; } .output { grid-area: 3 / 1; } form, .detail { grid-area: 4 / 1; } .shown::before { grid-area: 1 / 1 / 5 / 2; }
.more { padding: 4px 10px; font-weight: 700; } .note { color: var(--quiet); } .note:empty { margin-left: -8px; } .copied { position: fixed; opacity: 0; }
.menu { position: fixed; inset: auto; margin: 0; padding: 6px; min-width: 220px; overflow-y: auto; border: 1px solid var(--line); border-radius: 12px; background: var(--ground); color: var(--text);
  box-shadow: 0 8px 28px rgb(0 0 0 / 22%); }
.menu button { display: block; width: 100%; padding: 4px 12px 4px 34px; border-color: transparent; text-align: start; position: relative; }
.menu button:is(:hover, :focus) { background: var(--soft); border-color: transparent; } .menu [aria-disabled=true] { color: var(--quiet); cursor: default; }
.menu [aria-checked=true]::before { content: ""; position: absolute; left: 14px; top: 10px; width: 5px; height: 10px; border: solid currentColor; border-width: 0 2px 2px 0; rotate: 40deg; }
.menu hr { border: none; border-top: 1px solid var(--line); margin: 6px 8px; }
.canvas { position: relative; width: fit-content; max-width: 100%; margin: 12px; border-radius: 8px; overflow: hidden; background: #fff;
  box-shadow: 0 0 0 1px var(--line); touch-action: pinch-zoom; }
.canvas canvas { display: block; max-width: 100%; }
.canvas canvas + canvas { position: absolute; left: 0; top: 0; }
.output { position: relative; margin: 0; padding: 12px 14px; min-height: 3em; max-height: var(--output-max-height, 50vh); overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere;
  font: calc(var(--code-size, 14px) * var(--scale, 1))/1.5 var(--mono); user-select: text; -webkit-user-select: text; }
.output.unwrapped { white-space: pre; overflow-wrap: normal; }
.output .stderr::before { content: ""; position: absolute; left: 4px; height: 1.5em; border-left: 3px solid var(--red); }
.output a { text-decoration: underline; }
.place { cursor: pointer; text-decoration: underline dotted; text-underline-offset: 3px; border-radius: 3px; }
.place:hover { text-decoration-style: solid; } .place .stderr::before { content: none; }
.output img { display: block; max-width: 100%; background: #fff; border-radius: 8px; }
.output .table { overflow: auto; max-height: max(12em, 45vh); margin: 6px 0; border: 1px solid var(--line); border-radius: 6px; width: fit-content; max-width: 100%; white-space: normal; overflow-wrap: normal; font-family: system-ui, sans-serif; }
.output table { border-collapse: separate; border-spacing: 0; margin: 0; }
.output th, .output td { border: solid var(--line); border-width: 0 1px 1px 0; padding: 4px 10px; text-align: start; max-width: 30em; }
.output td { overflow-wrap: break-word; min-width: 3em; } .output .number { text-align: end; font-variant-numeric: tabular-nums; white-space: nowrap; }
.output :is(th, td):last-child { border-right: 0; } .output tbody tr:last-child > * { border-bottom: 0; }
.output th { background: var(--soft); } .output thead > * > * { position: sticky; top: 0; background: var(--soft); } .output caption { caption-side: bottom; padding: 4px 0; text-align: start; color: var(--quiet); }
.stderr, .red { --own: var(--red); } .green { --own: var(--green); } .yellow { --own: var(--yellow); } .blue { --own: var(--blue); }
.black, .white { --own: var(--text); } .magenta { --own: var(--magenta); } .cyan { --own: var(--cyan); } .grey, .dim, .trimmed { --own: var(--quiet); }
.typed { --own: var(--accent); }
.output :is(span, a), .trimmed { color: var(--own, inherit); } .output .inverse { background: var(--own, var(--text)); color: var(--ground); }
.output .rgb { color: var(--rgb); }
@supports (color: oklch(from red l c h)) {
  .output .rgb { color: light-dark(oklch(from var(--rgb) min(l, 0.5) c h), oklch(from var(--rgb) max(l, 0.75) c h)); }
}
.bold { font-weight: 700; } .italic { font-style: italic; } .concealed { visibility: hidden; }
.underline { text-decoration: underline; } .strike { text-decoration: line-through; } .underline.strike { text-decoration: underline line-through; }
form { display: flex; flex-wrap: wrap; gap: 8px; padding: 8px 10px; border-top: 1px solid var(--line); }
form input { flex: 1; min-width: 8em; }
.report { grid-area: 5 / 1; }
.detail { margin: 0; padding: 8px 14px; border-top: 1px solid var(--line); background: var(--soft); }
.detail:empty { display: none; }

:host([layout=split]) :is(.code, .shown)::before { content: ""; width: 0; max-height: 100%; visibility: hidden; pointer-events: none; }
:host([layout=split]) .code::before { height: 12em; }
:host([layout=split]) .shown::before { height: 16em; }
:host([layout=split]) .code { flex-grow: 1; }
:host([layout=split]) .cm-editor { max-height: 45vh; }
:host([layout=split]) .canvas { justify-self: center; }
:host([layout=split]:not([data-state])) .output:empty::before { content: var(--split-hint); color: var(--quiet); font: 15px/1.5 system-ui, sans-serif; }
@container editor (min-width: 800px) {
  :host([layout=split]) .frame { display: grid; grid: "bar bar bar" auto "tabs divider shown" auto "code divider shown" minmax(0, 1fr) / minmax(0, var(--code-part, 1fr)) 1px minmax(0, var(--shown-part, 1fr)); }
  :host([layout=split]) .bar { grid-area: bar; }
  :host([layout=split]) .tabs { grid-area: tabs; }
  :host([layout=split]) .code { grid-area: code; min-height: 0; }
  :host([layout=split]) .divider { grid-area: divider; height: auto; cursor: col-resize; }
  :host([layout=split]) .divider::before { inset: 0 var(--reach); }
  :host([layout=split]) .cm-editor { max-height: none; }
  :host([layout=split]) .shown { grid-area: shown; min-height: 0; container-type: size; }
  :host([layout=split]) .canvas canvas { max-height: 70cqh; }
  :host([layout=split]) .output { max-height: none; }
  :host([layout=split]) .output img { max-height: 80cqh; }
}
.frame.frame:fullscreen { display: flex; border: none; border-radius: 0; }
.frame:fullscreen > :is(.tabs, .code, .divider) { display: none; }
.frame:fullscreen .output { max-height: none; }
@media (pointer: coarse) {
  .divider { --reach: -12px; } .menu button { min-height: 44px; }
}
@media (forced-colors: active) {
  .frame .cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected] { forced-color-adjust: none; background: Highlight; color: HighlightText; }
  .divider { background: CanvasText; } .divider:is(:hover, :active) { background: Highlight; }
  .menu button:is(:hover, :focus) { outline: 2px solid Highlight; outline-offset: -2px; }
  .output .stderr::before { border-left-style: double; }
  .status::before, .canvas, .output img { forced-color-adjust: none; }
  button, button.run, button:hover:enabled { border-color: ButtonBorder; background: ButtonFace; color: ButtonText; filter: none; }
  .run::before { forced-color-adjust: none; background: ButtonText; }
  button:disabled { color: GrayText; border-color: GrayText; }
  .tabs [aria-selected=true] { forced-color-adjust: none; background: Highlight; color: HighlightText; border-color: Highlight; }
  .output .inverse { forced-color-adjust: none; background: CanvasText; color: Canvas; }
  .output .filled { outline: 1px solid; }
  .cm-editor .cm-fixed { outline: 1px dotted; outline-offset: -1px; }
  .cm-editor .cm-marked { outline: 2px solid Highlight; outline-offset: -2px; }
}
`;

/** The style sheets of the page by their texts. All editors share them. */
const sheets = new Map<string, CSSStyleSheet>();

/** Adds a style sheet to an editor. */
export function adoptStyle(root: ShadowRoot, text: string): void {
  let sheet = sheets.get(text);
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(text);
    sheets.set(text, sheet);
  }
  root.adoptedStyleSheets.push(sheet);
}
