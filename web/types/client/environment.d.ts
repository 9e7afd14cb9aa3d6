/**
 * The platform functions that the client uses: network, timers, randomness and storage.
 * {@link browser} provides those of the browser; the unit tests provide fakes.
 */
/** The part of the DOM's `WebSocket` that the client uses. */
export interface Socket {
    onopen: (() => void) | null;
    onmessage: ((event: {
        data: unknown;
    }) => void) | null;
    onclose: ((event: {
        code: number;
    }) => void) | null;
    send(text: string): void;
    close(code?: number): void;
}
/** The part of the DOM's `Response` that the client uses. */
export interface HttpResponse {
    ok: boolean;
    status: number;
    headers: {
        get(name: string): string | null;
    };
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
/** The environment of the browser. Every call returns the same object. */
export declare function browser(): Environment;
