/** The page's own examples, each in a file of `examples/`. Runtimes bring one example each. */
export interface Example {
    title: string;
    runtime: string;
    code: string;
}
/** The examples for the language of a runtime. */
export declare function examplesOf(runtime: string): Example[];
