/**
 * The links of the page. A program, compressed, or the secret that opens a session is in the
 * fragment of the address, which browsers send to no server.
 */

import { type Files, isFileName } from "./programs/files.js";

/** The longest code that is accepted from a link, in characters. */
const MAX_CODE_LENGTH = 1_000_000;

/** The most files that are accepted from a link. */
const MAX_FILES = 100;

export interface Shared {
  runtime?: string;
  /** The code of a program that has one file. */
  code?: string;
  /** The files of a program that has several. */
  files?: Files;
  /** The id of a session to watch, in links of earlier versions. */
  session?: string;
  /** The secret that opens a session. */
  share?: string;
}

/** Compresses a text, and encodes the result in the URL-safe alphabet of base64. */
export async function pack(text: string): Promise<string> {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}

/** The text that {@link pack} encoded. Throws if the input is damaged or the text is too long. */
export async function unpack(packed: string): Promise<string> {
  const base64 = packed.replaceAll("-", "+").replaceAll("_", "/");
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const reader = stream.getReader();
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    text += decoder.decode(value, { stream: !done });
    if (text.length > MAX_CODE_LENGTH) {
      await reader.cancel();
      throw new Error("the program is too long");
    }
    if (done) return text;
  }
}

/** The fields of a link for these files. */
export function sharedOf(files: Files): Pick<Shared, "code" | "files"> {
  const [[name, code] = ["", ""]] = files;
  return files.length > 1 || name ? { files } : { code };
}

export async function toFragment({ runtime, code, files, share }: Shared): Promise<string> {
  const parameters = new URLSearchParams();
  if (share) parameters.set("share", share);
  if (runtime) parameters.set("runtime", runtime);
  if (code !== undefined) parameters.set("code", await pack(code));
  if (files) parameters.set("files", await pack(JSON.stringify(files)));
  return `#${parameters}`;
}

/** The tag that shows a program in a page of another site, where `address` is that of the frame. */
export function frameTag(address: string, title: string): string {
  const attributes = { title, width: "100%", height: "300", sandbox: "allow-scripts", src: address };
  const escape = (text: string) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;");
  const written = Object.entries(attributes).map(([name, value]) => `${name}="${escape(value)}"`);
  return `<iframe ${written.join(" ")}></iframe>`;
}

/** The files in a text that {@link toFragment} has packed. Throws if they are not such files. */
function parseFiles(text: string): Files {
  const files = JSON.parse(text) as unknown;
  const isFile = (file: unknown) =>
    Array.isArray(file) && file.length === 2 && file.every((part) => typeof part === "string");
  if (!Array.isArray(files) || files.length === 0 || files.length > MAX_FILES) {
    throw new Error("there are no files, or too many");
  }
  if (!files.every(isFile)) throw new Error("a file is malformed");
  const names = (files as Files).map(([name]) => name);
  // The first file needs no name.
  if (!names.every((name, index) => isFileName(name) || (name === "" && index === 0))) {
    throw new Error("the name of a file is malformed");
  }
  if (new Set(names).size < names.length) throw new Error("two files have the same name");
  return files as Files;
}

/** The content of a link, or null if the fragment is not one of ours. Throws if it is damaged. */
export async function fromFragment(fragment: string): Promise<Shared | null> {
  const parameters = new URLSearchParams(fragment.replace(/^#/, ""));
  const names = ["runtime", "code", "files", "session", "share"];
  const [runtime, code, files, session, share] = names.map((name) => parameters.get(name));
  if (session && !/^[0-9a-f]{32}$/.test(session)) throw new Error("the session id is malformed");
  if (!runtime && !code && !files && !session && !share) return null;
  return {
    ...(runtime ? { runtime } : {}),
    ...(code ? { code: await unpack(code) } : {}),
    ...(files ? { files: parseFiles(await unpack(files)) } : {}),
    ...(session ? { session } : {}),
    ...(share ? { share } : {}),
  };
}
