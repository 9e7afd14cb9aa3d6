/** What a session needs of the world around it. The browser's is {@link browser}; tests bring their own. */

/** As much of a WebSocket as is used. */
export interface Socket {
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number }) => void) | null;
  send(text: string): void;
  close(code?: number): void;
}

/** As much of the answer to a request as is used. */
export interface Answer {
  ok: boolean;
  status: number;
  headers: { get(name: string): string | null };
  json(): Promise<unknown>;
}

export interface Asked {
  method: string;
  headers: Record<string, string>;
  body?: string;
  keepalive?: boolean;
  signal?: AbortSignal;
}

/** As much of a Storage as is used. */
export interface Store {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

export interface Environment {
  fetch(url: string, init: Asked): Promise<Answer>;
  open(url: string): Socket;
  /** Calls back after so many milliseconds; returns what calls that off. */
  later(ms: number, callback: () => void): () => void;
  /** From 0 up to 1. */
  random(): number;
  /** So many random bytes, in hexadecimal. */
  hex(bytes: number): string;
  /** Lives as long as the browser's profile. */
  lasting: Store;
  /** Lives as long as the tab, over reloads. */
  tab: Store;
  /** Calls back when the network, or the page, is back; returns what calls that off. */
  onWake(callback: () => void): () => void;
  /** Where addresses without a host begin. */
  base: string | undefined;
}

/** A storage that the browser may refuse (a third party's frame, a private window): then it lasts as long as the page. */
function store(name: "localStorage" | "sessionStorage"): Store {
  const own = new Map<string, string>();
  const attempt = <T>(use: (storage: Store) => T): T | undefined => {
    try {
      return use((globalThis as unknown as Record<string, Store>)[name] as Store);
    } catch {
      return undefined;
    }
  };
  return {
    getItem: (key) => own.get(key) ?? attempt((storage) => storage.getItem(key)) ?? null,
    setItem(key, value) {
      own.set(key, value);
      attempt((storage) => storage.setItem(key, value));
    },
    removeItem(key) {
      own.delete(key);
      attempt((storage) => storage.removeItem(key));
    },
  };
}

let shared: Environment | undefined;

/** The browser that this runs in. */
export function browser(): Environment {
  return (shared ??= {
    fetch: (url, init) => fetch(url, init),
    open: (url) => new WebSocket(url) as Socket,
    later(ms, callback) {
      const timer = setTimeout(callback, ms);
      return () => clearTimeout(timer);
    },
    random: () => Math.random(),
    hex: (bytes) =>
      Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join(""),
    lasting: store("localStorage"),
    tab: store("sessionStorage"),
    onWake(callback) {
      const target = globalThis as Partial<Pick<Window, "addEventListener" | "removeEventListener">>;
      const awake = () => (globalThis as { document?: Document }).document?.hidden || callback();
      // `visibilitychange` is sent to the document and rises to the window.
      const names = ["online", "visibilitychange", "pageshow"];
      for (const name of names) target.addEventListener?.(name, awake);
      return () => names.forEach((name) => target.removeEventListener?.(name, awake));
    },
    base: (globalThis as { location?: Location }).location?.href,
  });
}
