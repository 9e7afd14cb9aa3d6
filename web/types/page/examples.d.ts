/** The page's own examples, each in a file of `examples/`. Runtimes bring one example each. */
export interface Example {
    /** Identifies the example among those of its runtime. */
    title: string;
    runtime: string;
    code: string;
}
/** The examples for the language of a runtime. */
export declare function examplesOf(runtime: string): Example[];
/** The title of an example in the language of the interface. */
export declare const describeExample: (title: string) => string;
