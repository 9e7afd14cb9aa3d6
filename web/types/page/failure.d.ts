/** The words in which the page tells of requests that failed. */
/** The reason of a failure in words: the server's, if it gave one. */
export declare const describeFailure: (error: unknown) => string;
