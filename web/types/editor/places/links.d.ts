/** The parts of the output that lead to a place in the code. */
import type { FindLinks } from "../../terminal/view.js";
import { type Place } from "./finder.js";
/**
 * Finds the links in lines of a program's output. Messages count the lines that run before those
 * of the first file, which are not in the editor, so that nothing leads there.
 */
export declare function placeLinks(runtime: string, files: Map<string, string>, linesBefore?: number): FindLinks;
/** Calls `go` when the user chooses a place in the output, by a click or by Enter or Space. */
export declare function followPlaces(output: HTMLElement, go: (place: Place) => void): void;
