/** The examples besides those that runtimes bring, each a file beside this one. */
export interface Example {
    title: string;
    runtime: string;
    code: string;
}
export declare function examplesOf(runtime: string): Example[];
