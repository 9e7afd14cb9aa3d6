/** How the user wants to see code and output. The browser remembers it for all editors of a site. */

import { browser } from "../../client/environment.js";

const KEY = "livecode-view";

/** The sizes of the type that can be chosen, as multiples of the page's. */
const SCALES = [0.75, 0.85, 1, 1.15, 1.3, 1.5, 1.75, 2, 2.5, 3];
const NORMAL = SCALES.indexOf(1);

/** The least and the greatest part of the width that the code has beside the output, in percent. */
export const MIN_CODE_PERCENT = 15;
export const MAX_CODE_PERCENT = 85;

export interface View {
  /** The size of the type, as an index of `SCALES`. */
  size: number;
  /** Whether long lines of the output continue in the next line. */
  isWrapping: boolean;
  /** The part of the width that the code has beside the output, in percent, if it was chosen. */
  codePercent?: number | undefined;
}

const clamp = (value: unknown, min: number, max: number, otherwise: number) =>
  typeof value === "number" && Number.isFinite(value)
    ? Math.min(max, Math.max(min, value))
    : otherwise;

/** The view that the browser remembers. Whatever else is stored there counts as nothing. */
export function readView(): View {
  let stored: Partial<View> = {};
  try {
    stored = { ...(JSON.parse(browser().lasting.getItem(KEY) ?? "{}") as Partial<View>) };
  } catch {
    // The value is not JSON, so it was not written here.
  }
  const { size, isWrapping, codePercent } = stored;
  return {
    size: Math.round(clamp(size, 0, SCALES.length - 1, NORMAL)),
    isWrapping: isWrapping !== false,
    codePercent:
      typeof codePercent === "number"
        ? clamp(codePercent, MIN_CODE_PERCENT, MAX_CODE_PERCENT, 50)
        : undefined,
  };
}

/** Remembers a part of the view, and leaves what another editor has set. */
export function storeView(part: Partial<View>): void {
  browser().lasting.setItem(KEY, JSON.stringify({ ...readView(), ...part }));
}

/** The size of the type as a multiple of the page's. */
export const scaleOf = ({ size }: View) => SCALES[size] ?? 1;

/** The index of the next larger or smaller size, or of the same one at the end. */
export const sizeBeside = ({ size }: View, step: 1 | -1) =>
  Math.min(SCALES.length - 1, Math.max(0, size + step));
