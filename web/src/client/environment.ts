/**
 * The platform functions that the client uses: network, timers, randomness and storage.
 * {@link browser} provides those of the browser; the unit tests provide fakes.
 */

/** The part of the DOM's `WebSocket` that the client uses. */
export interface Socket {
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number }) => void) | null;
  send(text: string): void;
  close(code?: number): void;
}

/** The part of the DOM's `Response` that the client uses. */
export interface HttpResponse {
  ok: boolean;
  status: number;
  headers: { get(name: string): string | null };
  json(): Promise<unknown>;
}

/** The part of the DOM's `RequestInit` that the client uses. */
export interface HttpRequest {
  method: string;
  headers: Record<string, string>;
  body?: string;
  keepalive?: boolean;
  signal?: AbortSignal;
}

/** The part of the DOM's `Storage` that the client uses. */
export interface Store {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

export interface Environment {
  fetch(url: string, init: HttpRequest): Promise<HttpResponse>;
  /** Opens a websocket. */
  open(url: string): Socket;
  /** Calls `callback` once, after `ms` milliseconds. Returns a function that cancels the timer. */
  later(ms: number, callback: () => void): () => void;
  /** A random number from 0 up to, but not including, 1. */
  random(): number;
  /** This number of random bytes, in hexadecimal. */
  hex(bytes: number): string;
  /** A store that lives as long as the browser's profile. */
  lasting: Store;
  /** A store that lives as long as the tab, across reloads. */
  tab: Store;
  /**
   * Calls `callback` whenever the network is back or the page is shown again. Returns a function
   * that removes the listener.
   */
  onWake(callback: () => void): () => void;
  /** The URL that relative addresses are resolved against. */
  base: string | undefined;
}

/**
 * A store that is backed by the browser's storage. The browser may refuse access to its storage,
 * in a third party's frame or a private window, or have no space; then a value lasts as long as the
 * page. A value that the storage has taken is read from there, since another tab may remove it.
 */
function createStore(name: "localStorage" | "sessionStorage"): Store {
  const inMemory = new Map<string, string>();
  const tryStorage = <T>(use: (storage: Store) => T): T | undefined => {
    try {
      return use((globalThis as unknown as Record<string, Store>)[name] as Store);
    } catch {
      return undefined;
    }
  };
  return {
    getItem: (key) => inMemory.get(key) ?? tryStorage((storage) => storage.getItem(key)) ?? null,
    setItem(key, value) {
      inMemory.set(key, value);
      tryStorage((storage) => {
        storage.setItem(key, value);
        inMemory.delete(key);
      });
    },
    removeItem(key) {
      inMemory.delete(key);
      tryStorage((storage) => storage.removeItem(key));
    },
  };
}

let browserEnvironment: Environment | undefined;

/** The environment of the browser. Every call returns the same object. */
export function browser(): Environment {
  return (browserEnvironment ??= {
    fetch: (url, init) => fetch(url, init),
    open: (url) => new WebSocket(url) as Socket,
    later(ms, callback) {
      const timer = setTimeout(callback, ms);
      return () => clearTimeout(timer);
    },
    random: () => Math.random(),
    hex: (bytes) =>
      Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) =>
        byte.toString(16).padStart(2, "0"),
      ).join(""),
    lasting: createStore("localStorage"),
    tab: createStore("sessionStorage"),
    onWake(callback) {
      const target = globalThis as Partial<
        Pick<Window, "addEventListener" | "removeEventListener">
      >;
      const callIfVisible = () =>
        (globalThis as { document?: Document }).document?.hidden || callback();
      // The document dispatches `visibilitychange`, and the event bubbles to the window.
      const names = ["online", "visibilitychange", "pageshow"];
      for (const name of names) target.addEventListener?.(name, callIfVisible);
      return () => names.forEach((name) => target.removeEventListener?.(name, callIfVisible));
    },
    base: (globalThis as { location?: Location }).location?.href,
  });
}
