/**
 * The modules that come with a language. The server lists further packages that it has. The file is
 * loaded when the name of a module is first typed.
 */
export declare const PYTHON_MODULES: string[];
export declare const SCRIPT_MODULES: string[];
