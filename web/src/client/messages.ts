/** The JSON that client and server exchange, and the client's error type. */

/** A source file beside the program. */
export interface SourceFile {
  filename: string;
  contents: string;
  /** `base64` if `contents` encodes bytes that are not text. */
  encoding?: "base64";
}

/** A program and how to run it: the body of `POST /sessions`. */
export interface Program {
  /** A name or alias from `GET /runtimes`. */
  runtime: string;
  /** The source code. */
  code?: string;
  /** The file name under which `code` is saved; the default is the runtime's own. */
  code_filename?: string;
  /** Further files. A file with the name `stdin` is the whole standard input. */
  files?: SourceFile[];
  /** The command to run in place of the runtime's own. */
  command?: string[];
  /** Arguments that are appended to the command. */
  args?: string[];
  /** Environment variables. */
  env?: Record<string, string>;
  /** The whole standard input. Without it, input comes from {@link Session.input}. */
  stdin?: string;
  /** Whether input is kept, as `echo` messages, so that everybody who reads the session sees it. */
  echo?: boolean;
  /** Whether the places of errors come as messages, too: see {@link Diagnostic}. */
  diagnostics?: boolean;
  /** `test` runs the tests among the files. */
  mode?: "exec" | "test";
  /** Tells compilation apart from the program: in the outcome, the document and the output. */
  stages?: boolean;
  /** Names of files that are kept when the session has ended; `*` and `?` are wildcards. */
  collect?: string[];
  /** Cases with which the program is run, each in a sandbox of its own: see {@link CaseResult}. */
  cases?: Case[];
  /** Whether no case is run after one that has failed. */
  stop_on_first_failure?: boolean;
  /** Limit of the wall clock for all cases together, in milliseconds. */
  total_timeout?: number;
  /** Limit of the wall clock, in milliseconds; with cases, that of each case. */
  timeout?: number;
  limits?: {
    cpu_ms?: number;
    /** Share of the machine's processors, in thousandths of one processor. */
    cpu_millicores?: number;
    memory_bytes?: number;
    processes?: number;
    output_bytes?: number;
    disk_bytes?: number;
  };
}

/**
 * A JSON message on a session's stream, from the server or to the server. The hook `onMessage`
 * gets the session's entries (among them `write`, `exitstatus` and the program's own messages) and
 * `gap`. It does not get `welcome`, `ack`, `error`, `pong` and `goodbye`, which concern only the
 * connection, nor notices.
 */
export interface Message {
  msgtype: string;
  /** Number of the entry in the journal, from 1, if the message is an entry. */
  seq?: number;
  [field: string]: unknown;
}

/** How the compile steps of an ended session with `stages` ended. */
export interface CompileSummary {
  /** Exit status of the last compile step that ran. */
  exitstatus: number;
  /** Wall-clock time of the compile steps, in milliseconds; 0 if the result came from the cache. */
  wall_ms: number;
  /** CPU time of the compile steps, in milliseconds; absent if the machine cannot count it. */
  cpu_ms?: number;
  /** Whether the result came from the cache. */
  cached: boolean;
}

/** A case of a request. */
export interface Case {
  /** Without a name, the case has its number, from 1. */
  name?: string;
  stdin?: string;
  /** Arguments that are appended to those of the session. */
  args?: string[];
  /** Files besides those of the session, or in place of those with the same names. */
  files?: SourceFile[];
  /** The expected output. Without it, only the exit status counts. */
  expected?: string;
  /** How the output is compared: as `trimmed` without it. */
  compare?: "exact" | "trimmed" | "tokens" | "floats" | "checker";
  /** How far apart two numbers may be for `floats`. */
  tolerance?: number;
  /** Limit of the wall clock for this case, in milliseconds. */
  timeout?: number;
}

/** A message `case`: the end of a case. */
export interface CaseResult extends Message {
  msgtype: "case";
  name: string;
  passed: boolean;
  outcome: string;
  /** Whether the case is hidden. Then nothing that follows is there. */
  hidden?: true;
  exitstatus?: number;
  /** The beginning of the standard output. */
  stdout?: string;
  /** The beginning of the standard error; absent if there was none. */
  stderr?: string;
  /** Whether there was more of either. */
  truncated?: boolean;
  /** Wall-clock time of the program, in seconds. */
  time_taken?: number;
  memory_peak_bytes?: number;
  /** The first line that the checker has printed. */
  reason?: string;
}

/** A message `cases`: the end of all cases. */
export interface CasesResult extends Message {
  msgtype: "cases";
  passed: number;
  failed: number;
  /** The number of cases that were not run; absent if all were. */
  skipped?: number;
}

/** A message `diagnostic`: the place of an error in a file of the program. */
export interface Diagnostic extends Message {
  msgtype: "diagnostic";
  severity: "error" | "warning";
  /** The name of the file, as the request gave it. */
  file: string;
  /** The line, from 1. */
  line: number;
  /** The column, from 1, as the tool counts it. */
  column?: number;
  /** The text of the error. */
  message: string;
}

/** The rights that a share gives: to follow a session, or to send input and events, too. */
export type Rights = "watch" | "join";

/**
 * The body of a response to `POST /sessions`, `GET /sessions/{id}` or `POST /shares/redeem`: the
 * fields that are used.
 */
export interface SessionDocument {
  id: string;
  state?: string;
  /** How compilation ended, after the end of a session with `stages`. */
  compile?: CompileSummary;
  /** Whether input is kept, as `echo` messages. */
  echo?: boolean;
  /** How the session ended, in words; absent before its end. */
  detail?: string;
  /** The rights of the share by which the session was found. */
  rights?: Rights;
  links: { self: string; stream: string };
  [field: string]: unknown;
}

/** The largest message that a server accepts, in bytes. */
export const MAX_MESSAGE_BYTES = 64 * 1024;

/** The text of a `write` or `echo` message. Bytes that are not UTF-8 become replacement characters. */
export function textOf(message: Message): string {
  const data = String(message.data ?? "");
  if (message.encoding !== "base64") return data;
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  return new TextDecoder().decode(bytes);
}

/** Why an operation failed. */
export class LiveCodeError extends Error {
  override name = "LiveCodeError";

  constructor(
    message: string,
    /** The HTTP status of the server's response, if there was a response. */
    readonly status?: number,
    /** The field of the request that is wrong, if the server named one. */
    readonly field?: string,
    /** The message that the server refused, if the error is about a message. */
    readonly msg?: unknown,
    /** The server's code for the error, e.g. `queue_full`. Servers before v0.2 send no code. */
    readonly code?: string,
  ) {
    super(message);
  }
}
