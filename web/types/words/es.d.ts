/** The words of the interface in Spanish. */
import type { Words } from "./en.js";
declare const es: Words;
export default es;
