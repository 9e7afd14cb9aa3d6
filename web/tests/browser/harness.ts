/** What the browser's tests share: the real server, a way to cut its connections, pages of another origin, a browser. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createRequire } from "node:module";
import { type AddressInfo, connect, createServer as createTcpServer, type Server as TcpServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { after, before, type TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from "playwright-core";

/** How long anything may take that a test waits for: generous, since it only matters when something is broken. */
export const PATIENCE_MS = 30_000;

const root = resolve(import.meta.dirname, "../../../..");
const binary = process.env.LIVECODE_BINARY ?? join(root, "target/debug/livecode");

/** A file of the sources. */
export const source = (name: string) => join(root, name);

const port = (server: { address(): unknown }) => (server.address() as AddressInfo).port;

/** The real server, with a data directory of its own; ended, with all it ran, after the test. */
export class LiveServer {
  private constructor(
    private child: ChildProcess,
    readonly port: number,
    private readonly data: string,
  ) {}

  static async start(test: TestContext): Promise<LiveServer> {
    const data = await mkdtemp(join(tmpdir(), "livecode-web-"));
    const { child, port } = await launch(data, 0);
    const server = new LiveServer(child, port, data);
    test.after(() => server.end());
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Kills it as a crash would; its programs run on. */
  async kill(): Promise<void> {
    const gone = once(this.child, "exit");
    this.child.kill("SIGKILL");
    await gone;
  }

  /** Asks it to stop, and waits until it has. */
  async stop(): Promise<void> {
    const gone = once(this.child, "exit");
    this.child.kill("SIGTERM");
    await gone;
  }

  /** Starts it again on the same data and port. */
  async startAgain(): Promise<void> {
    this.child = (await launch(this.data, this.port)).child;
  }

  /** The sessions that it knows, as the local user sees them. */
  async sessions(): Promise<{ id: string; state: string; outcome?: string }[]> {
    return (await (await fetch(`${this.url}/sessions`)).json()) as { id: string; state: string }[];
  }

  private async end(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      for (const { id } of await this.sessions()) await fetch(`${this.url}/sessions/${id}`, { method: "DELETE" });
      await this.kill();
    }
    await rm(this.data, { recursive: true, force: true });
  }
}

async function launch(data: string, at: number): Promise<{ child: ChildProcess; port: number }> {
  const child = spawn(binary, ["serve", "--listen", `127.0.0.1:${at}`, "--data-dir", data], {
    env: { ...process.env, RUST_LOG: "error", LIVECODE_SERVER: undefined, LIVECODE_BINARY: undefined },
    stdio: ["ignore", "pipe", "inherit"],
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const found = /http:\/\/127\.0\.0\.1:(\d+)/.exec(line);
    if (found) return { child, port: Number(found[1]) };
  }
  throw new Error(`${binary} ended without saying where it listens`);
}

async function listening<S extends TcpServer>(test: TestContext, server: S): Promise<S> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  test.after(() => server.close());
  return server;
}

/** A way to a server that can be cut and shut, as a network is. */
export class Gate {
  private readonly sockets = new Set<Socket>();
  private isOpen = true;
  /** How many connections were made through it. */
  count = 0;

  private constructor(private readonly server: TcpServer) {}

  static async to(test: TestContext, target: number): Promise<Gate> {
    const server = createTcpServer((near) => gate.pass(near, target));
    const gate = new Gate(server);
    await listening(test, server);
    test.after(() => gate.cut());
    return gate;
  }

  get url(): string {
    return `http://127.0.0.1:${port(this.server)}`;
  }

  private pass(near: Socket, target: number): void {
    near.on("error", () => {});
    if (!this.isOpen) return void near.resetAndDestroy();
    this.count++;
    const far = connect(target, "127.0.0.1");
    for (const [socket, other] of [[near, far], [far, near]] as const) {
      this.sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        this.sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  }

  /** Cuts every connection there is. */
  cut(): void {
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  /** Cuts every connection, and lets none through until it is opened again. */
  shut(): void {
    this.isOpen = false;
    this.cut();
  }

  open(): void {
    this.isOpen = true;
  }
}

/** A server that knows v0.1 alone: the real one, without its sessions, and without CORS where they would be. */
export async function oldServer(test: TestContext, target: number): Promise<string> {
  const server = createServer((_, response) => response.writeHead(404).end("Not Found"));
  const sockets = new Set<Socket>();
  server.on("upgrade", (request, near: Socket) => {
    assert.equal(request.url, "/livecode");
    const far = connect(target, "127.0.0.1", () => {
      const headers = request.rawHeaders.flatMap((name, at, all) => (at % 2 ? [] : [`${name}: ${all[at + 1]}`]));
      far.write(`GET /livecode HTTP/1.1\r\n${headers.join("\r\n")}\r\n\r\n`);
      far.pipe(near).pipe(far);
    });
    for (const socket of [near, far]) socket.on("error", () => {}), sockets.add(socket);
  });
  await listening(test, server);
  test.after(() => sockets.forEach((socket) => socket.destroy()));
  return `http://127.0.0.1:${port(server)}`;
}

/** Pages of another origin than the server's. */
export class Pages {
  private readonly texts = new Map<string, string>();

  private constructor(private readonly server: TcpServer) {}

  static async start(test: TestContext): Promise<Pages> {
    const answer = (request: IncomingMessage, response: ServerResponse) => {
      const text = pages.texts.get(request.url ?? "");
      response.writeHead(text === undefined ? 404 : 200, { "Content-Type": "text/html; charset=utf-8" }).end(text);
    };
    const server = createServer(answer);
    const pages = new Pages(server);
    await listening(test, server);
    test.after(() => server.closeAllConnections());
    return pages;
  }

  /** Puts a page up; returns its address. */
  put(text: string): string {
    const path = `/${this.texts.size + 1}`;
    this.texts.set(path, `<!doctype html><link rel="icon" href="data:,">${text}`);
    return `http://localhost:${port(this.server)}${path}`;
  }
}

let browser: Promise<Browser> | undefined;

// One for all tests of a file, with a fresh profile; each test has a context of its own in it.
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
    ],
  });
});
after(async () => (await browser)?.close());

/** What one person's browser keeps, empty at first. */
export async function startContext(test: TestContext, options: BrowserContextOptions = {}): Promise<BrowserContext> {
  const context = await ((await browser) as Browser).newContext(options);
  context.setDefaultTimeout(PATIENCE_MS);
  test.after(() => context.close());
  return context;
}

/** Opens a page; an error that nobody catches on it fails the test. */
export async function open(test: TestContext, context: BrowserContext, url: string): Promise<Page> {
  const page = await context.newPage();
  const errors: Error[] = [];
  page.on("pageerror", (error) => errors.push(error));
  test.after(() => assert.deepEqual(errors, [], "nothing goes wrong on the page"));
  await page.goto(url);
  return page;
}

/** What most tests need: a server, another origin's pages, a browser. */
export async function bench(test: TestContext) {
  const server = await LiveServer.start(test);
  const [pages, context] = await Promise.all([Pages.start(test), startContext(test)]);
  return { server, pages, context };
}

/** A page that has the classic script and, as `runOld(options)`, what gives all messages of one session. */
export const classicPage = (server: string, body = "") => `
  <script src="${server}/static/livecode.js"></script>
  <script>
    var base_url = "${server}";
    var messages = [];
    function runOld(options) {
      return new Promise((resolve) => {
        const heard = [];
        new LiveCodeSession({ base_url, ...options, onMessage: (message) => {
          heard.push(message);
          messages.push(message);
          if (["exitstatus", "error"].includes(message.msgtype)) resolve(heard);
        } });
      });
    }
  </script>${body}`;

/** A page that has the module as \`client\`, and notes what its session is told. */
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

export async function openModule(test: TestContext, context: BrowserContext, url: string): Promise<Page> {
  const page = await open(test, context, url);
  await page.waitForFunction(() => document.title === "ready");
  return page;
}

/** Opens the server's front page, and waits until a program can be run. What the browser complains of fails the test. */
export async function openFront(test: TestContext, context: BrowserContext, url: string): Promise<Page> {
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    // Chromium itself tries to keep the style of highlighted text that is written over.
    const isOwn = message.text().startsWith("Applying inline style violates");
    if (message.type() === "error" && !isOwn) complaints.push(message.text());
  });
  page.on("request", (request) => {
    if (!/^(data|blob):/.test(request.url()) && new URL(request.url()).host !== new URL(url).host) complaints.push(`it asks ${request.url()}`);
  });
  test.after(() => assert.deepEqual(complaints, [], "nothing goes wrong on the page"));
  await page.goto(url);
  await page.locator("live-code .run").waitFor();
  return page;
}

/** Puts a program in place of what stands in the front page's editor. */
export async function write(page: Page, runtime: string, code: string): Promise<void> {
  await page.getByLabel("Language").selectOption(runtime);
  // As a person does: what is selected behind the editor's back is no longer so when it draws itself anew, as it does once the language has come.
  await page.locator(".cm-content").press("ControlOrMeta+a");
  await page.keyboard.insertText(code);
}

export const output = (page: Page) => page.locator("live-code .output");

/** Waits until the status says so; where it never does, says how things stand instead. */
export async function status(page: Page, words: string): Promise<void> {
  try {
    await page.locator("live-code .status").filter({ hasText: words }).waitFor();
  } catch (error) {
    const stands = page.evaluate(() => {
      const live = document.querySelector("live-code");
      const said = (name: string) => live?.shadowRoot?.querySelector(name)?.textContent?.slice(-300);
      return { state: live?.getAttribute("data-state"), status: said(".status"), output: said(".output") };
    });
    const hangs = setTimeout(5000, "a page that answers nothing", { ref: false });
    throw new Error(`not "${words}" but ${JSON.stringify(await Promise.race([stands, hangs]))}`, { cause: error });
  }
}

/** What axe finds wrong with a page, in both colour schemes. */
export async function axe(page: Page): Promise<unknown[]> {
  const found: unknown[] = [];
  await page.evaluate(readFileSync(createRequire(import.meta.url).resolve("axe-core"), "utf8"));
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    const { violations, passes } = await page.evaluate(async () => {
      type Found = { id: string; nodes: { html: string; failureSummary: string }[] };
      const { axe } = window as unknown as { axe: { run(): Promise<{ violations: Found[]; passes: unknown[] }> } };
      return axe.run();
    });
    assert.ok(passes.length > 15, String(passes.length));
    found.push(...violations.map(({ id, nodes }) => [colorScheme, id, ...nodes.map((node) => `${node.html} ${node.failureSummary}`)]));
  }
  return found;
}

/** The front page of a server of its own. */
export async function beginFront(t: TestContext, options = {}) {
  const server = await LiveServer.start(t);
  const context = await startContext(t, options);
  return { server, context, page: await openFront(t, context, `${server.url}/`) };
}

/** Waits until a place of the canvas has a colour. */
export const colour = (page: Page, place: [x: number, y: number], expected: number[]) =>
  page.waitForFunction(
    ([x, y, expected]) => {
      const canvas = document.querySelector("live-code")?.shadowRoot?.querySelector("canvas");
      return canvas?.getContext("2d")?.getImageData(x as number, y as number, 1, 1).data.join() === expected;
    },
    [...place, expected.join()],
  );
