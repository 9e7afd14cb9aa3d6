/** How the editor looks, in the colour scheme of its page (`color-scheme`); each pair of colours has a contrast of 4.5 or more. */

export const STYLE = `
:host { display: block; margin: 1em 0;
  --ground: light-dark(#fff, #16181d); --text: light-dark(#1c1e21, #e4e6eb); --soft: light-dark(#f1f3f5, #22252b);
  --line: light-dark(#c8ccd1, #3d424b); --quiet: light-dark(#565c65, #a3a9b3); --accent: light-dark(#0b5fc0, #7db4ff);
  --on-accent: light-dark(#fff, #10131a); --red: light-dark(#b3261e, #ff8a80); --green: light-dark(#1b6e2b, #7fd68c);
  --yellow: light-dark(#7a5900, #e6c35c); --blue: light-dark(#0b5fc0, #7db4ff); --magenta: light-dark(#8a2a9b, #e29af0);
  --cyan: light-dark(#00696f, #6fd3da); }
:host([hidden]), [hidden] { display: none !important; }
* { box-sizing: border-box; }
.frame { border: 1px solid var(--line); border-radius: 6px; overflow: hidden; background: var(--ground); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }
.bar { display: flex; flex-wrap: wrap; gap: 6px; align-items: center; padding: 6px; background: var(--soft); }
button, input { font: inherit; color: inherit; min-height: 32px; border: 1px solid var(--line); border-radius: 4px; background: var(--ground);
  padding: 2px 12px; }
button { cursor: pointer; }
button:disabled { color: var(--quiet); cursor: default; }
.run { background: var(--accent); border-color: var(--accent); color: var(--on-accent); font-weight: 600; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
.status { margin-left: auto; color: var(--quiet); }
.tabs { display: flex; flex-wrap: wrap; gap: 2px; padding: 4px 6px 0; background: var(--soft); }
.tabs button { border-radius: 4px 4px 0 0; border-bottom-color: transparent; background: transparent; }
.tabs [aria-selected=true] { background: var(--ground); font-weight: 600; }
.cm-editor { font-size: 14px; max-height: 60vh; background: var(--ground); color: var(--text); }
.cm-editor .cm-scroller { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; overflow: auto; }
.cm-editor .cm-gutters { background: var(--soft); color: var(--quiet); border-right: 1px solid var(--line); }
.cm-editor .cm-content { caret-color: var(--text); }
.cm-editor .cm-cursor { border-left-color: var(--text); }
.cm-editor .cm-activeLine { background: color-mix(in srgb, var(--soft) 50%, transparent); }
.tok-keyword { color: var(--magenta); } .tok-string, .tok-string2 { color: var(--green); } .tok-comment { color: var(--quiet); font-style: italic; }
.tok-number, .tok-bool, .tok-atom { color: var(--yellow); } .tok-definition, .tok-typeName, .tok-className { color: var(--blue); }
.shown { border-top: 1px solid var(--line); }
.canvas { position: relative; width: fit-content; max-width: 100%; overflow: auto; margin: 8px; border: 1px solid var(--line); background: #fff; }
.canvas canvas { display: block; max-width: 100%; }
.canvas canvas + canvas { position: absolute; left: 0; top: 0; }
.output { margin: 0; padding: 8px; min-height: 2.5em; max-height: 50vh; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere;
  font: 14px/1.45 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
.output img { display: block; max-width: 100%; background: #fff; }
.output table { border-collapse: collapse; margin: 4px 0; white-space: normal; }
.output th, .output td { border: 1px solid var(--line); padding: 2px 8px; text-align: start; }
.output th { background: var(--soft); }
.stderr, .red { color: var(--red); } .green { color: var(--green); } .yellow { color: var(--yellow); } .blue, .black { color: var(--blue); }
.black { color: var(--text); } .magenta { color: var(--magenta); } .cyan { color: var(--cyan); } .white { color: var(--text); }
[class*="on-"] { background: var(--soft); outline: 1px solid var(--line); } .bold { font-weight: 700; } .dim, .trimmed { color: var(--quiet); }
.italic { font-style: italic; } .underline { text-decoration: underline; } .typed { color: var(--accent); }
form { display: flex; flex-wrap: wrap; gap: 6px; padding: 6px; border-top: 1px solid var(--line); }
form input { flex: 1; min-width: 8em; }
`;
