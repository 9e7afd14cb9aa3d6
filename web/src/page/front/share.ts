/** What a link says after its `#`, which no server is told: a program, packed, or a session. */

/** How long a program from a link may be, in characters. */
const CODE_MAX = 1_000_000;

export interface Shared {
  runtime?: string;
  code?: string;
  /** A session to watch. */
  session?: string;
}

/** A text as few letters that an address can hold. */
export async function pack(text: string): Promise<string> {
  const packed = new Blob([text]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(packed).arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}

/** The text again; fails on what is none, and on what would become too long. */
export async function unpack(packed: string): Promise<string> {
  const bytes = Uint8Array.from(atob(packed.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    text += decoder.decode(value, { stream: !done });
    if (text.length > CODE_MAX) {
      await reader.cancel();
      throw new Error("the program is too long");
    }
    if (done) return text;
  }
}

export async function toFragment({ runtime, code, session }: Shared): Promise<string> {
  const words = new URLSearchParams();
  if (session) words.set("session", session);
  if (runtime) words.set("runtime", runtime);
  if (code !== undefined) words.set("code", await pack(code));
  return `#${words}`;
}

/** What a link says; null where it says nothing. Fails where it is broken. */
export async function fromFragment(fragment: string): Promise<Shared | null> {
  const words = new URLSearchParams(fragment.replace(/^#/, ""));
  const [runtime, code, session] = ["runtime", "code", "session"].map((name) => words.get(name));
  if (session && !/^[0-9a-f]{32}$/.test(session)) throw new Error("it names no session");
  if (!runtime && !code && !session) return null;
  return {
    ...(runtime ? { runtime } : {}),
    ...(code ? { code: await unpack(code) } : {}),
    ...(session ? { session } : {}),
  };
}
