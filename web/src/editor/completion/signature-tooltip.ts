/** The parameters of the function in whose call the cursor stands, beside the call. */

import { syntaxTree } from "@codemirror/language";
import { type EditorState, type Extension, StateEffect, StateField } from "@codemirror/state";
import { EditorView, keymap, showTooltip, type Tooltip } from "@codemirror/view";
import { signaturesOf } from "./signatures.js";

/** Closes the help until the cursor moves again. */
const close = StateEffect.define<null>();

/** The longest text before a parenthesis that is taken for the name of a function, in characters. */
const MAX_NAME_LENGTH = 80;
/** The longest program in which functions are looked for, in characters. */
const MAX_PROGRAM_LENGTH = 200_000;

interface Call {
  /** The name of the function, with the object or module before it. */
  name: string;
  /** Where the name begins. */
  from: number;
  /** The number of commas before the cursor. */
  commas: number;
}

/** The innermost call around the cursor. */
function callAt(state: EditorState): Call | undefined {
  const { main } = state.selection;
  if (!main.empty) return undefined;
  let node: ReturnType<typeof syntaxTree>["topNode"] | null = syntaxTree(state).resolveInner(main.head, -1);
  for (; node; node = node.parent) {
    // The body of a function that is an argument is not of this call.
    if (/^(Block|Body|FunctionBody|ClassBody)$/.test(node.name)) return undefined;
    if (node.name !== "ArgList" || node.from >= main.head) continue;
    const isClosed = node.lastChild?.name === ")" && node.to <= main.head;
    const callee = node.prevSibling;
    if (isClosed || !callee || callee.to - callee.from > MAX_NAME_LENGTH) continue;
    let commas = 0;
    for (let child = node.firstChild; child && child.from < main.head; child = child.nextSibling) {
      if (child.name === ",") commas++;
    }
    return { name: state.sliceDoc(callee.from, callee.to), from: callee.from, commas };
  }
  return undefined;
}

/** The signature of a function that the program itself defines. */
function ownSignature({ doc }: EditorState, name: string): string | undefined {
  if (doc.length > MAX_PROGRAM_LENGTH || !/^\w+$/.test(name)) return undefined;
  const parameters = String.raw`\s*\(([^()]*(?:\([^()]*\)[^()]*)*)\)`;
  const forms = [
    String.raw`\b(?:def|function\*?)\s+${name}${parameters}`,
    String.raw`\b${name}\s*=\s*(?:async\s*)?${parameters}\s*=>`,
    String.raw`\bclass\s+${name}\b[^]*?\b(?:def __init__|constructor)${parameters}`,
  ];
  const text = doc.toString();
  for (const form of forms) {
    const found = new RegExp(form).exec(text)?.[1];
    if (found === undefined) continue;
    const list = found.replace(/\s+/g, " ").trim().replace(/^self(, |$)/, "").replace(/,$/, "");
    return `${name}(${list})`;
  }
  return undefined;
}

/** The parts of a signature: up to the first parameter, each parameter, and the rest. */
function split(signature: string): string[] {
  const parts = [""];
  let depth = 0;
  for (const character of signature) {
    if ("([{".includes(character)) depth++;
    if (")]}".includes(character)) depth--;
    const isEnd = depth === 0 && character === ")";
    if (isEnd) parts.push("");
    parts[parts.length - 1] += character;
    const isBetween = depth === 1 && (character === "," || (character === "(" && parts.length === 1));
    if (isBetween) parts.push("");
  }
  return parts;
}

/** Creates the element for a signature, in which the parameter after so many commas stands out. */
function createHelp(signature: string, commas: number): HTMLElement {
  const dom = document.createElement("div");
  dom.className = "cm-signature";
  const parts = split(signature);
  const parameters = parts.slice(1, -1);
  // A parameter that takes any number of values is the last one that is named.
  const many = parameters.findIndex((one) => /^\s*(\*|\.\.\.)\w/.test(one));
  const current = many >= 0 ? Math.min(commas, many) : commas;
  parts.forEach((part, at) => {
    if (at - 1 !== current || at === parts.length - 1) return dom.append(part);
    const [, space = "", name = "", comma = ""] = /^(\s*)(.*?)(,?)$/s.exec(part) ?? [];
    const mark = document.createElement("b");
    mark.textContent = name;
    dom.append(space, mark, comma);
  });
  return dom;
}

/** Shows the parameters of functions of a language, and of those that a runtime has in scope. */
export function signatureTooltip(language: string, runtime: string): Extension {
  const known = signaturesOf(language, runtime);
  const find = (state: EditorState): Tooltip | null => {
    const call = callAt(state);
    if (!call) return null;
    const { name, from, commas } = call;
    const method = /\.\w+$/.exec(name)?.[0];
    const signature = ownSignature(state, name) ?? known.get(name) ?? (method && known.get(method));
    if (!signature) return null;
    const text = signature.replace(/^\./, "");
    return { pos: from, above: true, create: () => ({ dom: createHelp(text, commas) }) };
  };
  const field = StateField.define<Tooltip | null>({
    create: find,
    update(tooltip, { docChanged, selection, effects, state }) {
      if (effects.some((effect) => effect.is(close))) return null;
      return docChanged || selection ? find(state) : tooltip;
    },
    provide: (field) => showTooltip.from(field),
  });
  // Escape has its other meanings as well.
  const closeHelp = (view: EditorView) => {
    if (view.state.field(field)) view.dispatch({ effects: close.of(null) });
    return false;
  };
  const blur = EditorView.domEventHandlers({ blur: (_, view) => void closeHelp(view) });
  return [field, keymap.of([{ key: "Escape", run: closeHelp }]), blur];
}
