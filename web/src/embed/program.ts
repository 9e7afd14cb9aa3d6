/** The program in the address of a frame. */

import type { Program } from "../editor/program.js";
import { fromFragment } from "../page/share.js";

const DEFAULT_RUNTIME = "python";

/** Whether an option without a value, or with one that does not deny it, is set. */
export function isOption(options: URLSearchParams, name: string): boolean {
  return options.has(name) && !["0", "false", "no"].includes(options.get(name) ?? "");
}

/**
 * The program behind the `#`: as a link of the server's page has it (`code`, or `files` if there are
 * several), or as percent-encoded text (`text`), in which `+` stands for itself. The runtime stands
 * there, too, or in the query. Throws if the program is damaged.
 */
export async function programIn(
  fragment: string,
  options: URLSearchParams,
): Promise<{ runtime: string; program: Program }> {
  const shared = await fromFragment(fragment);
  const [, encoded = ""] = /[#&]text=([^&]*)/.exec(fragment) ?? [];
  const text = decodeURIComponent(encoded);
  const runtime = shared?.runtime ?? options.get("runtime") ?? DEFAULT_RUNTIME;
  const program = shared?.files ? new Map(shared.files) : (shared?.code ?? text);
  return { runtime, program };
}
