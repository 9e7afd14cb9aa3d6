/**
 * The links of the page. A program, compressed, or the secret that opens a session is in the
 * fragment of the address, which browsers send to no server.
 */

/** The longest code that is accepted from a link, in characters. */
const MAX_CODE_LENGTH = 1_000_000;

export interface Shared {
  runtime?: string;
  code?: string;
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

export async function toFragment({ runtime, code, share }: Shared): Promise<string> {
  const parameters = new URLSearchParams();
  if (share) parameters.set("share", share);
  if (runtime) parameters.set("runtime", runtime);
  if (code !== undefined) parameters.set("code", await pack(code));
  return `#${parameters}`;
}

/** The content of a link, or null if the fragment is not one of ours. Throws if it is damaged. */
export async function fromFragment(fragment: string): Promise<Shared | null> {
  const parameters = new URLSearchParams(fragment.replace(/^#/, ""));
  const names = ["runtime", "code", "session", "share"];
  const [runtime, code, session, share] = names.map((name) => parameters.get(name));
  if (session && !/^[0-9a-f]{32}$/.test(session)) throw new Error("the session id is malformed");
  if (!runtime && !code && !session && !share) return null;
  return {
    ...(runtime ? { runtime } : {}),
    ...(code ? { code: await unpack(code) } : {}),
    ...(session ? { session } : {}),
    ...(share ? { share } : {}),
  };
}
