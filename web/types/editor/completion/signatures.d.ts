/** The parameters of functions that beginners call, as their languages' documents name them. */
/** The signatures that a language has, by the name of the function, or by `.` and that of a method. */
export declare function signaturesOf(language: string, runtime: string): Map<string, string>;
