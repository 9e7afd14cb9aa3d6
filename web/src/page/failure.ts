/** The words in which the page tells of requests that failed. */

import { LiveCodeError } from "../client/messages.js";
import { words } from "../words/words.js";

/** The reason of a failure in words: the server's, if it gave one. */
export const describeFailure = (error: unknown) =>
  error instanceof LiveCodeError ? error.message : words.noAnswer;
