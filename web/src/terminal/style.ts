/** The looks of text on a terminal, as "select graphic rendition" sequences set them. */

export interface Style {
  /** Styles with the same key are equal. */
  key: string;
  /** The names of the style's classes, e.g. `red`, `bold`. */
  classes: string[];
  /** The exact colours, as `#rrggbb`, if the text has some that no class names. */
  foreground?: string | undefined;
  background?: string | undefined;
  /** The address to which the text links. */
  link?: string | undefined;
}

/** A colour: an index of the palette of 256 colours, or `#rrggbb`. */
type Colour = number | string;

export const PLAIN: Style = { key: "", classes: [] };

const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
/** xterm's colours 0 to 15, of which 8 to 15 are the bright ones. */
const PALETTE =
  "000000 cd0000 00cd00 cdcd00 0000ee cd00cd 00cdcd e5e5e5 7f7f7f ff0000 00ff00 ffff00 5c5cff ff00ff 00ffff ffffff".split(
    " ",
  );
/** The classes that codes switch on, and those that codes switch off. */
const ON: Record<number, string> = {
  1: "bold",
  2: "dim",
  3: "italic",
  4: "underline",
  7: "inverse",
  8: "concealed",
  9: "strike",
  21: "underline",
};
const OFF: Record<number, string[]> = {
  22: ["bold", "dim"],
  23: ["italic"],
  24: ["underline"],
  27: ["inverse"],
  28: ["concealed"],
  29: ["strike"],
};
/** The least contrast of a text to its background that can be read with ease (WCAG 2.1, AA). */
const MIN_CONTRAST = 4.5;

const hex = (...parts: number[]) =>
  `#${parts.map((part) => part.toString(16).padStart(2, "0")).join("")}`;

/** A colour as `#rrggbb`. */
function exact(colour: Colour): string {
  if (typeof colour === "string") return colour;
  if (colour < 16) return `#${PALETTE[colour]}`;
  // A cube of 6 by 6 by 6 colours, and then 24 greys.
  const grey = 8 + 10 * (colour - 232);
  if (colour >= 232) return hex(grey, grey, grey);
  const level = (step: number) => (step % 6 === 0 ? 0 : 55 + 40 * (step % 6));
  const place = colour - 16;
  return hex(level(Math.floor(place / 36)), level(Math.floor(place / 6)), level(place));
}

/** The relative luminance of a colour, from 0 to 1. */
function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const part = parseInt(colour.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one: string, other: string): number {
  const [a, b] = [luminance(one) + 0.05, luminance(other) + 0.05];
  return Math.max(a, b) / Math.min(a, b);
}

/** A colour for text on a background: `wanted` if that can be read there, or else black or white. */
export function readableOn(background: string, wanted?: string): string {
  if (wanted && contrast(wanted, background) >= MIN_CONTRAST) return wanted;
  return contrast("#000000", background) >= MIN_CONTRAST ? "#000000" : "#ffffff";
}

/** The state that the sequences of one output set. */
export class Rendition {
  #foreground: Colour | undefined;
  #background: Colour | undefined;
  readonly #attributes = new Set<string>();
  #link: string | undefined;
  /** The style of the state; undefined after a change. */
  #style: Style | undefined;

  /** `fileClass` is a class of all text, or empty. */
  constructor(private readonly fileClass = "") {}

  get style(): Style {
    return (this.#style ??= this.#createStyle());
  }

  /** Sets the address to which the following text links. */
  set link(address: string | undefined) {
    this.#link = address;
    this.#style = undefined;
  }

  /** Applies the parameters of a sequence. */
  apply(parameters: string): void {
    this.#style = undefined;
    const all = parameters.split(";");
    while (all.length > 0) {
      const [code = 0, ...details] = (all.shift() ?? "").split(":").map(Number);
      if (code === 0) this.reset();
      else if (code === 38 || code === 48 || code === 58) {
        const colour = details.length > 0 ? colourOf(details) : takeColour(all);
        if (code === 38) this.#foreground = colour ?? this.#foreground;
        if (code === 48) this.#background = colour ?? this.#background;
      } else if (code === 4 && details[0] === 0) this.#attributes.delete("underline");
      else if (ON[code]) this.#attributes.add(ON[code]);
      else if (OFF[code]) OFF[code].forEach((name) => this.#attributes.delete(name));
      else if (code === 39) this.#foreground = undefined;
      else if (code === 49) this.#background = undefined;
      else if (code >= 30 && code <= 37) this.#foreground = code - 30;
      else if (code >= 40 && code <= 47) this.#background = code - 40;
      else if (code >= 90 && code <= 97) this.#foreground = code - 82;
      else if (code >= 100 && code <= 107) this.#background = code - 92;
    }
  }

  /** Sets the initial state, except for the link. */
  reset(): void {
    this.#foreground = this.#background = undefined;
    this.#attributes.clear();
    this.#style = undefined;
  }

  #createStyle(): Style {
    const names = new Set(this.#attributes);
    let foreground = this.#foreground === undefined ? undefined : exact(this.#foreground);
    let background = this.#background === undefined ? undefined : exact(this.#background);
    if (names.has("inverse") && (background || foreground)) {
      const isNamed = !background && typeof this.#foreground === "number" && this.#foreground < 16;
      // The style sheet knows the colours of a name, and those of the page's ground.
      if (!isNamed) {
        names.delete("inverse");
        [foreground, background] = [
          background,
          foreground ?? readableOn(background as string),
        ];
      }
    }
    if (foreground || background) names.delete("dim");
    const colour = this.#foreground;
    let name: string | undefined;
    if (!background && typeof colour === "number" && colour < 16) {
      // The bright black is a grey; other bright colours are as the normal ones.
      name = colour === 8 ? "grey" : NAMES[colour % 8];
      foreground = undefined;
    }
    const classes = [this.fileClass, name, ...names].filter((one) => one !== undefined && one !== "");
    const key = [classes.join(" "), foreground, background, this.#link].join("|");
    return key === "|||"
      ? PLAIN
      : { key, classes: classes as string[], foreground, background, link: this.#link };
  }
}

/** The colour of `5`, index or `2`, red, green, blue; `2` may be followed by a colour space. */
function colourOf([kind, ...parts]: number[]): Colour | undefined {
  const isPart = (part: number | undefined): part is number =>
    part !== undefined && Number.isInteger(part) && part >= 0 && part <= 255;
  if (kind === 5 && isPart(parts[0])) return parts[0];
  const rgb = parts.length > 3 ? parts.slice(1, 4) : parts;
  return kind === 2 && rgb.length === 3 && rgb.every(isPart) ? hex(...rgb) : undefined;
}

/** Takes the parameters of a colour from the beginning of a list. */
function takeColour(parameters: string[]): Colour | undefined {
  const count = { 2: 4, 5: 2 }[Number(parameters[0])] ?? 1;
  return colourOf(parameters.splice(0, count).map(Number));
}
