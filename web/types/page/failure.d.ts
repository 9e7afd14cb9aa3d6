/** The words in which the page tells of requests that failed. */
export declare const NO_ANSWER = "The server does not answer. Try again in a moment.";
/** The reason of a failure in words: the server's, if it gave one. */
export declare const describeFailure: (error: unknown) => string;
