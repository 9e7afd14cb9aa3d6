/** What a session needs of the world around it. The browser's is {@link browser}; tests bring their own. */
/** As much of a WebSocket as is used. */
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
/** As much of the answer to a request as is used. */
export interface Answer {
    ok: boolean;
    status: number;
    headers: {
        get(name: string): string | null;
    };
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
/** The browser that this runs in. */
export declare function browser(): Environment;
