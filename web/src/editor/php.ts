/** PHP, of which CodeMirror has no small grammar: the words of PHP in the grammar of C. */

import { clike } from "@codemirror/legacy-modes/mode/clike";

const words = (text: string) => Object.fromEntries(text.split(" ").map((word) => [word, true]));

const BLOCKS = "catch class do else elseif enum finally for foreach function if interface match " +
  "namespace switch trait try while";
const KEYWORDS = `${BLOCKS} abstract and array as break case clone const continue declare default ` +
  "echo empty endfor endforeach endif endswitch endwhile exit extends final fn global goto " +
  "implements include include_once instanceof insteadof isset list new or print private " +
  "protected public readonly require require_once return static throw unset use var xor yield";

interface Stream {
  eatWhile(pattern: RegExp): boolean;
  match(pattern: RegExp): boolean | RegExpMatchArray | null;
  skipToEnd(): void;
}

// `defKeywords` is missing in the types of the package.
const grammar = {
  name: "php",
  keywords: words(KEYWORDS),
  blockKeywords: words(BLOCKS),
  defKeywords: words("class enum function interface trait"),
  types: words("bool callable float int iterable mixed never object self string void"),
  atoms: words("true false null TRUE FALSE NULL"),
  multiLineStrings: true,
  hooks: {
    $: (stream: Stream) => (stream.eatWhile(/[\w$]/), "variableName.special"),
    "#": (stream: Stream) => (stream.skipToEnd(), "comment"),
    "<": (stream: Stream) => (stream.match(/^\?(php|=)?/) ? "meta" : false),
    "?": (stream: Stream) => (stream.match(/^>/) ? "meta" : false),
  },
};

export const php = clike(grammar);
