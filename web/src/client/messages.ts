/** What goes over the wire, and what a page is told. */

/** A source file beside the program. */
export interface SourceFile {
  filename: string;
  contents: string;
  /** `base64` for bytes that are no text. */
  encoding?: "base64";
}

/** What to run: the body of `POST /sessions`. */
export interface Program {
  /** A name or alias from `GET /runtimes`. */
  runtime: string;
  /** The source. */
  code?: string;
  /** The name to save it under, instead of the runtime's own. */
  code_filename?: string;
  /** Further files; one named `stdin` is standard input. */
  files?: SourceFile[];
  /** What to run instead of the runtime's own command. */
  command?: string[];
  /** Appended to the command. */
  args?: string[];
  /** Environment variables. */
  env?: Record<string, string>;
  /** The whole of standard input. Without it, input comes from {@link Session.input}. */
  stdin?: string;
  /** `test` runs the tests among the files. */
  mode?: "exec" | "test";
  /** Wall clock, in milliseconds. */
  timeout?: number;
  limits?: {
    cpu_ms?: number;
    memory_bytes?: number;
    processes?: number;
    output_bytes?: number;
    disk_bytes?: number;
  };
}

/** One message of a session: the program's own, or one of `write`, `exitstatus`, `gap`. */
export interface Message {
  msgtype: string;
  /** Number of the entry, from 1. */
  seq?: number;
  [field: string]: unknown;
}

/** The answer to `POST /sessions` and `GET /sessions/{id}`, as far as this client needs it. */
export interface SessionDocument {
  id: string;
  state?: string;
  links: { self: string; stream: string };
  [field: string]: unknown;
}

/** The largest message that a server takes, in bytes. */
export const MAX_MESSAGE_BYTES = 64 * 1024;

/** What a `write` says, as text: where the program printed bytes that are none, with replacement characters. */
export function textOf(message: Message): string {
  const data = String(message.data ?? "");
  if (message.encoding !== "base64") return data;
  return new TextDecoder().decode(Uint8Array.from(atob(data), (character) => character.charCodeAt(0)));
}

/** Why something could not be done. */
export class LiveCodeError extends Error {
  override name = "LiveCodeError";

  constructor(
    message: string,
    /** The status of the server's answer, where it gave one. */
    readonly status?: number,
    /** The field of the request that is wrong, where one is. */
    readonly field?: string,
    /** The message that the server would not have, where it was one. */
    readonly msg?: unknown,
  ) {
    super(message);
  }
}
