/** The modules that come with a language. The server lists further packages that it has. */
/** The modules that come with a language; undefined if names of modules are not completed in it. */
export declare const modulesOf: (language: string) => string[] | undefined;
