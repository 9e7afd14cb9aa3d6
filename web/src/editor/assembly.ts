/** Assembly as nasm reads it, whose comments begin with `;`. */

import type { StreamParser } from "@codemirror/language";

const REGISTER =
  /^(?:[re]?(?:[abcd]x|[sd]i|[sb]p|ip)|[abcd][hl]|[sd]il|[sb]pl|r(?:8|9|1[0-5])[bwd]?|[xy]mm\d+|[c-gs]s)\b/i;
const DIRECTIVE =
  /^(?:%\w+|section|segment|global|extern|bits|default|rel|org|align|times|equ|d[bwdqt]|res[bwdqt]|byte|[dq]?word|struc|endstruc)\b/i;

export const assembly: StreamParser<{ isStart: boolean }> = {
  name: "assembly",
  startState: () => ({ isStart: true }),
  token(stream, state) {
    if (stream.sol()) state.isStart = true;
    if (stream.eatSpace()) return null;
    if (stream.match(/^;.*/)) return "comment";
    if (stream.match(/^(["'`])(?:\\.|(?!\1).)*\1?/)) return "string";
    if (stream.match(/^(?:0x[\da-f]+|\d[\da-f]*h|[01]+b|\d+)\b/i)) return "number";
    if (stream.match(/^[.\w$@]+(?=:)/)) return "labelName";
    if (stream.match(DIRECTIVE)) return "keyword";
    if (stream.match(REGISTER)) return "variableName.special";
    const isStart = state.isStart;
    if (stream.match(/^[.\w$@]+/)) {
      state.isStart = false;
      return isStart ? "operatorKeyword" : "variableName";
    }
    stream.next();
    return null;
  },
  languageData: { commentTokens: { line: ";" } },
};
