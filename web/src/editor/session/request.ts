/** The program that a run sends to the server. */

import type { Case, Program, SourceFile } from "../../client/index.js";
import type { Before } from "../exercise/depends.js";
import { UNNAMED_FILE } from "../program.js";

export interface RunOptions {
  runtime: string;
  /** The texts by file name. The first one runs. */
  files: Map<string, string>;
  /** What runs before the first file, and the code that runs after it. */
  before: Before;
  after: string;
  /** The whole input, if it is given. */
  stdin: string | undefined;
  /** The cases with which the program is run, each with its own input. */
  cases: Case[] | undefined;
  /** The limit of the wall clock in milliseconds, if it is not 0. */
  timeout: number;
  /** Whether the server knows all fields of a request. */
  isCurrentServer: boolean;
}

export function requestOf(options: RunOptions): Program {
  const { runtime, before, after, stdin, cases, timeout, isCurrentServer } = options;
  // A file of the program replaces one of the same name.
  const all = new Map([...options.files, ...before.files, ...options.files]);
  const [[name, text] = ["", ""], ...others] = all;
  const files: SourceFile[] = others.map(([name, contents]) => ({
    filename: name || UNNAMED_FILE,
    contents,
  }));
  return {
    runtime,
    code: before.code + (after ? `${text}\n${after}` : text),
    ...(isCurrentServer ? { echo: true, diagnostics: true, stages: true } : {}),
    ...(name ? { code_filename: name } : {}),
    ...(files.length ? { files } : {}),
    ...(cases ? { cases } : stdin === undefined ? {} : { stdin }),
    ...(timeout ? { timeout } : {}),
  };
}
