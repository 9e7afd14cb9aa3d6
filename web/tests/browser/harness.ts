/**
 * The set-up of the browser tests: the real server, a proxy that can cut connections, pages of
 * another origin, and a browser.
 */

import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import {
  createServer,
  type IncomingMessage,
  request as httpRequest,
  type ServerResponse,
} from "node:http";
import { createServer as createTlsServer } from "node:https";
import { createRequire } from "node:module";
import {
  type AddressInfo,
  connect,
  createServer as createTcpServer,
  type Server as TcpServer,
  type Socket,
} from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Duplex, Readable } from "node:stream";
import { after, before, type TestContext } from "node:test";
import { text } from "node:stream/consumers";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from "playwright-core";

/**
 * The timeout of everything that a test waits for, in milliseconds. It only expires in failures.
 */
export const WAIT_TIMEOUT_MS = 30_000;

const root = resolve(import.meta.dirname, "../../../..");
const binary = process.env.LIVECODE_BINARY ?? join(root, "target/debug/livecode");

/** The path of a file of the repository. */
export const source = (name: string) => join(root, name);

const port = (server: { address(): unknown }) => (server.address() as AddressInfo).port;

const cleanups = new WeakMap<TestContext, (() => unknown)[]>();

/**
 * Calls `clean` at the end of a test, and after what was registered later: a page is closed before
 * its server ends, since it would report that the rest of it cannot be loaded.
 */
function atEnd(test: TestContext, clean: () => unknown): void {
  const known = cleanups.get(test);
  if (known) return void known.push(clean);
  const all = [clean];
  cleanups.set(test, all);
  test.after(async () => {
    const errors: unknown[] = [];
    for (const clean of all.reverse()) {
      try {
        await clean();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length) throw errors[0];
  });
}

/**
 * The real server, with a data directory of its own. After the test the server and the programs of
 * its sessions are ended.
 */
export class LiveServer {
  private constructor(
    private child: ChildProcess,
    readonly port: number,
    private readonly data: string,
    private readonly flags: string[],
    /** The lines of the server's log. */
    readonly log: string[],
  ) {}

  /** Starts the server with further flags of `livecode serve`. */
  static async start(test: TestContext, flags: string[] = []): Promise<LiveServer> {
    const data = await mkdtemp(join(tmpdir(), "livecode-web-"));
    const log: string[] = [];
    const { child, port } = await launch(data, 0, flags, log);
    const server = new LiveServer(child, port, data, flags, log);
    atEnd(test, () => server.end());
    return server;
  }

  /** Starts a server that knows its users by tokens. */
  static startWithTokens(test: TestContext, flags: string[] = []): Promise<LiveServer> {
    return LiveServer.start(test, ["--auth", "tokens", ...flags]);
  }

  /**
   * Starts a server whose callers over TCP are all guests, also those of this machine, and that is
   * reached as `host`, too.
   */
  static async startForGuests(test: TestContext, host: string): Promise<LiveServer> {
    const folder = await mkdtemp(join(tmpdir(), "livecode-web-"));
    const socket = `unix:${join(folder, "livecode.sock")}`;
    const flags = ["--listen", socket, "--host", host, "--allow-anonymous"];
    atEnd(test, () => rm(folder, { recursive: true, force: true }));
    return LiveServer.start(test, flags);
  }

  /** Runs `livecode token`, and returns the last line of its output. */
  async token(...words: string[]): Promise<string> {
    const all = ["token", ...words, "--data-dir", this.data];
    const env = { ...process.env, LIVECODE_SERVER: undefined, LIVECODE_TOKEN: undefined };
    const { stdout } = await promisify(execFile)(binary, all, { env });
    return stdout.trim().split("\n").at(-1) as string;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Kills the server with SIGKILL. Its programs keep running. */
  async kill(): Promise<void> {
    const gone = once(this.child, "exit");
    this.child.kill("SIGKILL");
    await gone;
  }

  /** Sends SIGTERM to the server, and waits until the server has ended. */
  async stop(): Promise<void> {
    const gone = once(this.child, "exit");
    this.child.kill("SIGTERM");
    await gone;
  }

  /** Starts the server again, with the same data directory and port. */
  async restart(): Promise<void> {
    this.child = (await launch(this.data, this.port, this.flags, this.log)).child;
  }

  /** The server's sessions, as the local user sees them. */
  async sessions(): Promise<{ id: string; state: string; outcome?: string }[]> {
    return JSON.parse(await this.request("GET", "/sessions")) as { id: string; state: string }[];
  }

  /** Sends a request as the local user, and returns the response's body. */
  private async request(method: string, path: string): Promise<string> {
    const ownSocket = this.flags.find((flag) => flag.startsWith("unix:"))?.slice("unix:".length);
    if (!ownSocket && !this.flags.includes("--auth")) {
      return (await fetch(this.url + path, { method })).text();
    }
    const socketPath = ownSocket ?? join(this.data, "admin.sock");
    const sent = httpRequest({ socketPath, method, path, headers: { Host: "localhost" } }).end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    return text(response);
  }

  private async end(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      for (const { id } of await this.sessions())
        await this.request("DELETE", `/sessions/${id}`);
      await this.kill();
    }
    await rm(this.data, { recursive: true, force: true });
  }
}

/**
 * Starts the server, and waits until it listens. The log of a server with flags has all details,
 * and is collected in `log`.
 */
async function launch(
  data: string,
  at: number,
  flags: string[],
  log: string[],
): Promise<{ child: ChildProcess; port: number }> {
  const all = ["serve", "--listen", `127.0.0.1:${at}`, "--data-dir", data, ...flags];
  const child = spawn(binary, all, {
    env: {
      ...process.env,
      RUST_LOG: flags.length ? "debug" : "error",
      LIVECODE_SERVER: undefined,
      LIVECODE_BINARY: undefined,
    },
    stdio: ["ignore", "pipe", flags.length ? "pipe" : "inherit"],
  });
  if (child.stderr) createInterface({ input: child.stderr }).on("line", (line) => log.push(line));
  for await (const line of createInterface({ input: child.stdout as Readable })) {
    const found = /http:\/\/127\.0\.0\.1:(\d+)/.exec(line);
    if (found) return { child, port: Number(found[1]) };
  }
  throw new Error(`${binary} ended before it printed its address`);
}

async function listening<S extends TcpServer>(test: TestContext, server: S): Promise<S> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  atEnd(test, () => server.close());
  return server;
}

/** A TCP proxy in front of a server. It can cut connections and block new ones, like a network. */
export class NetworkProxy {
  private readonly sockets = new Set<Socket>();
  private isBlocked = false;
  /** The number of connections that were made through the proxy. */
  count = 0;

  private constructor(private readonly server: TcpServer) {}

  static async start(test: TestContext, target: number): Promise<NetworkProxy> {
    const server = createTcpServer((near) => proxy.forward(near, target));
    const proxy = new NetworkProxy(server);
    await listening(test, server);
    atEnd(test, () => proxy.cut());
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${port(this.server)}`;
  }

  private forward(near: Socket, target: number): void {
    near.on("error", () => {});
    if (this.isBlocked) return void near.resetAndDestroy();
    this.count++;
    const far = connect(target, "127.0.0.1");
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        this.sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  }

  /** Resets every connection. */
  cut(): void {
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  /** Resets every connection, and refuses new ones until `unblock` is called. */
  block(): void {
    this.isBlocked = true;
    this.cut();
  }

  unblock(): void {
    this.isBlocked = false;
  }
}

/**
 * A server that only speaks v0.1: it forwards the real server's `/livecode` and the requests for
 * `paths`, and answers every other request with 404, without CORS headers.
 */
export async function startV01Server(
  test: TestContext,
  target: number,
  paths: string[] = [],
): Promise<string> {
  const server = createServer((request, response) => {
    const { method, url: path = "", headers } = request;
    if (!paths.includes(path)) return void response.writeHead(404).end("Not Found");
    const forwarded = httpRequest({ port: target, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    request.pipe(forwarded);
  });
  const sockets = new Set<Socket>();
  server.on("upgrade", (request, near: Socket) => {
    assert.match(request.url ?? "", /^\/livecode($|\?)/);
    const far = connect(target, "127.0.0.1", () => {
      const headers = request.rawHeaders.flatMap((name, at, all) =>
        at % 2 ? [] : [`${name}: ${all[at + 1]}`],
      );
      far.write(`GET ${request.url} HTTP/1.1\r\n${headers.join("\r\n")}\r\n\r\n`);
      far.pipe(near).pipe(far);
    });
    for (const socket of [near, far]) (socket.on("error", () => {}), sockets.add(socket));
  });
  await listening(test, server);
  atEnd(test, () => sockets.forEach((socket) => socket.destroy()));
  return `http://127.0.0.1:${port(server)}`;
}

/**
 * A proxy that speaks TLS in front of a server, and tells the server so. Returns its address. No
 * browser trusts its certificate.
 */
export async function startTlsProxy(test: TestContext, target: number): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "livecode-web-"));
  atEnd(test, () => rm(folder, { recursive: true, force: true }));
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost";
  await promisify(execFile)("openssl", [...words.split(" "), "-keyout", key, "-out", cert]);
  const options = { key: readFileSync(key), cert: readFileSync(cert) };
  const server = createTlsServer(options, (request, response) => {
    const { method, url: path, headers } = request;
    const own = { ...headers, "X-Forwarded-Proto": "https" };
    const forwarded = httpRequest({ port: target, method, path, headers: own }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    forwarded.on("error", () => response.destroy());
    request.pipe(forwarded);
  });
  const sockets = new Set<Duplex>();
  server.on("upgrade", (request, near: Duplex) => {
    const far = connect(target, "127.0.0.1", () => {
      const headers = request.rawHeaders.flatMap((name, at, all) =>
        at % 2 ? [] : [`${name}: ${all[at + 1]}`],
      );
      headers.push("X-Forwarded-Proto: https");
      far.write(`GET ${request.url} HTTP/1.1\r\n${headers.join("\r\n")}\r\n\r\n`);
      far.pipe(near).pipe(far);
    });
    for (const socket of [near, far]) (socket.on("error", () => {}), sockets.add(socket));
  });
  await listening(test, server);
  atEnd(test, () => {
    server.closeAllConnections();
    sockets.forEach((socket) => socket.destroy());
  });
  return `https://localhost:${port(server)}`;
}

/** A web server with pages whose origin is not the server's. */
export class Pages {
  private readonly texts = new Map<string, [text: string, headers: Record<string, string>]>();
  private readonly handlers = new Map<string, (request: IncomingMessage) => [number, string]>();

  private constructor(private readonly server: TcpServer) {}

  static async start(test: TestContext): Promise<Pages> {
    const answer = (request: IncomingMessage, response: ServerResponse) => {
      const handled = pages.handlers.get(request.url ?? "")?.(request);
      if (handled) return void response.writeHead(handled[0]).end(handled[1]);
      const [text, headers] = pages.texts.get(request.url ?? "") ?? [];
      response
        .writeHead(text === undefined ? 404 : 200, {
          "Content-Type": "text/html; charset=utf-8",
          ...headers,
        })
        .end(text);
    };
    const server = createServer(answer);
    const pages = new Pages(server);
    await listening(test, server);
    atEnd(test, () => server.closeAllConnections());
    return pages;
  }

  /** Answers requests for a path with a status and a text. */
  answer(path: string, handler: (request: IncomingMessage) => [number, string]): void {
    this.handlers.set(path, handler);
  }

  get port(): number {
    return port(this.server);
  }

  /**
   * Adds a page, which is served with further headers, and returns its address at one of the names
   * of this machine.
   */
  add(text: string, host = "localhost", headers: Record<string, string> = {}): string {
    const path = `/${this.texts.size + 1}`;
    this.texts.set(path, [`<!doctype html><link rel="icon" href="data:,">${text}`, headers]);
    return `http://${host}:${this.port}${path}`;
  }
}

let browser: Promise<Browser> | undefined;

// The tests of a file share one browser with a fresh profile. Each test has a context of its own.
before(() => {
  browser = chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    chromiumSandbox: false,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      // Names for which browsers, other than for loopback, send no Sec-Fetch-Site without TLS.
      "--host-resolver-rules=MAP *.test 127.0.0.1",
    ],
  });
});
after(async () => (await browser)?.close());

/** Creates a browser context, which has the storage of one user and is empty at first. */
export async function createContext(
  test: TestContext,
  options: BrowserContextOptions = {},
): Promise<BrowserContext> {
  const context = await ((await browser) as Browser).newContext(options);
  context.setDefaultTimeout(WAIT_TIMEOUT_MS);
  atEnd(test, () => context.close());
  return context;
}

/** Opens a page. An uncaught error on the page fails the test. */
export async function open(test: TestContext, context: BrowserContext, url: string): Promise<Page> {
  const page = await context.newPage();
  const errors: Error[] = [];
  page.on("pageerror", (error) => errors.push(error));
  atEnd(test, () => assert.deepEqual(errors, [], "the page has no errors"));
  await page.goto(url);
  return page;
}

/** Sets up what most tests need: a server, pages of another origin, and a browser context. */
export async function setUp(test: TestContext) {
  const server = await LiveServer.start(test);
  const [pages, context] = await Promise.all([Pages.start(test), createContext(test)]);
  return { server, pages, context };
}

/**
 * A page with the classic script. Its function `runClassic(options)` runs a program and returns
 * all messages of the session.
 */
export const classicPage = (server: string, body = "") => `
  <script src="${server}/static/livecode.js"></script>
  <script>
    var base_url = "${server}";
    var messages = [];
    function runClassic(options) {
      return new Promise((resolve) => {
        const received = [];
        new LiveCodeSession({ base_url, ...options, onMessage: (message) => {
          received.push(message);
          messages.push(message);
          if (["exitstatus", "error"].includes(message.msgtype)) resolve(received);
        } });
      });
    }
  </script>${body}`;

/**
 * A page with the module as the global `client`, and with `hooks` that record their calls in
 * `notes`.
 */
export const modulePage = (server: string) => `
  <script type="module">
    import * as client from "${server}/static/livecode-client.js";
    window.client = client;
    window.notes = { output: "", messages: [], states: [], errors: [] };
    window.hooks = {
      onMessage(message) {
        notes.messages.push(message);
        if (message.msgtype === "write") notes.output += client.textOf(message);
      },
      onState: (state) => notes.states.push(state),
      onError: (error) => notes.errors.push(error.message),
    };
    window.place = { server: "${server}" };
    document.title = "ready";
  </script>`;

export async function openModule(
  test: TestContext,
  context: BrowserContext,
  url: string,
): Promise<Page> {
  const page = await open(test, context, url);
  await page.waitForFunction(() => document.title === "ready");
  return page;
}

/**
 * Opens the server's front page, and waits until a program can be run. Errors in the browser's
 * console and requests to other hosts fail the test.
 */
export async function openFrontPage(
  test: TestContext,
  context: BrowserContext,
  url: string,
): Promise<Page> {
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => {
    // Chromium itself tries to keep the style of highlighted text that is replaced.
    const isFromChromium = message.text().startsWith("Applying inline style violates");
    if (message.type() === "error" && !isFromChromium) problems.push(message.text());
  });
  page.on("request", (request) => {
    if (!/^(data|blob):/.test(request.url()) && new URL(request.url()).host !== new URL(url).host)
      problems.push(`the page requested ${request.url()}`);
  });
  atEnd(test, () => assert.deepEqual(problems, [], "the page has no errors"));
  await page.goto(url);
  await page.locator("live-code .run").waitFor();
  return page;
}

/** Replaces the program in the front page's editor. */
export async function writeProgram(page: Page, runtime: string, code: string): Promise<void> {
  await page.getByLabel("Language").selectOption(runtime);
  // The keyboard selects the text, as a user would. A selection made through the DOM would be lost
  // when the editor redraws itself after the language has loaded.
  await page.locator(".cm-content").press("ControlOrMeta+a");
  await page.keyboard.insertText(code);
}

export const output = (page: Page) => page.locator("live-code .output");

/** Waits until the editor's status contains `text`. The error describes the page's state. */
export async function waitForStatus(page: Page, text: string): Promise<void> {
  try {
    await page.locator("live-code .status").filter({ hasText: text }).waitFor();
  } catch (error) {
    const state = page.evaluate(() => {
      const live = document.querySelector("live-code");
      const textOf = (name: string) =>
        live?.shadowRoot?.querySelector(name)?.textContent?.slice(-300);
      return {
        state: live?.getAttribute("data-state"),
        status: textOf(".status"),
        output: textOf(".output"),
      };
    });
    const timeout = setTimeout(5000, "a page that does not respond", { ref: false });
    throw new Error(`not "${text}" but ${JSON.stringify(await Promise.race([state, timeout]))}`, {
      cause: error,
    });
  }
}

/** The accessibility violations that axe finds on a page, in both colour schemes. */
export async function findAxeViolations(page: Page): Promise<unknown[]> {
  const found: unknown[] = [];
  await page.evaluate(readFileSync(createRequire(import.meta.url).resolve("axe-core"), "utf8"));
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    const { violations, passes } = await page.evaluate(async () => {
      type Found = { id: string; nodes: { html: string; failureSummary: string }[] };
      const { axe } = window as unknown as {
        axe: { run(): Promise<{ violations: Found[]; passes: unknown[] }> };
      };
      return axe.run();
    });
    assert.ok(passes.length > 15, String(passes.length));
    found.push(
      ...violations.map(({ id, nodes }) => [
        colorScheme,
        id,
        ...nodes.map((node) => `${node.html} ${node.failureSummary}`),
      ]),
    );
  }
  return found;
}

/** Starts a server and opens its front page. */
export async function setUpFrontPage(t: TestContext, options = {}) {
  const server = await LiveServer.start(t);
  const context = await createContext(t, options);
  return { server, context, page: await openFrontPage(t, context, `${server.url}/`) };
}

/** Waits until a pixel of the canvas has a colour. */
export const waitForColour = (page: Page, place: [x: number, y: number], expected: number[]) =>
  page.waitForFunction(
    ([x, y, expected]) => {
      const canvas = document.querySelector("live-code")?.shadowRoot?.querySelector("canvas");
      return (
        canvas
          ?.getContext("2d")
          ?.getImageData(x as number, y as number, 1, 1)
          .data.join() === expected
      );
    },
    [...place, expected.join()],
  );
