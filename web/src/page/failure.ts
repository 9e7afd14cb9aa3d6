/** The words in which the page tells of requests that failed. */

import { LiveCodeError } from "../client/messages.js";

export const NO_ANSWER = "The server does not answer. Try again in a moment.";

/** The reason of a failure in words: the server's, if it gave one. */
export const describeFailure = (error: unknown) =>
  error instanceof LiveCodeError ? error.message : NO_ANSWER;
