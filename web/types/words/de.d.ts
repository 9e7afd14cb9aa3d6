/** The words of the interface in German. */
import type { Words } from "./en.js";
declare const de: Words;
export default de;
