/** How the outputs of cases are compared with what is expected. */
import type { Case } from "../../client/index.js";
/** The lines of an output, as a case compares them. `plain` removes white space at their ends. */
export declare const linesOf: (text: string, { compare }: Case, plain: (text: string) => string) => string[];
/** Whether two lines are the same for a case. */
export declare function areSameLines({ compare, tolerance }: Case, expected: string, printed: string): boolean;
