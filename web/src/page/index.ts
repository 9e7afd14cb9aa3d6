/** The server's front page: an editor with a choice of runtimes, examples, links and sessions. */

import "./page.css";
import { browser } from "../client/environment.js";
import { Server } from "../client/server.js";
import type { LiveCode } from "../editor/element.js";
import { type Example, examplesOf } from "./examples.js";
import { SessionsDialog } from "./sessions.js";
import { SignIn } from "./sign-in.js";
import { fromFragment, toFragment } from "./share.js";
import { PageStorage, type TabState } from "./storage.js";

/** An entry of `GET /runtimes`: the fields that are used. */
interface Runtime {
  name: string;
  title: string;
  available: boolean;
  /** What is missing on the server, if the runtime is not available. */
  needs?: string;
  example: string;
}

/** The time after the last change at which a draft is stored, in milliseconds. */
const DRAFT_DELAY_MS = 500;
/** The delay before the server is asked again after a failure, in milliseconds. */
const RETRY_MS = 2000;
/** The title of the example with the user's own draft. */
const DRAFT_TITLE = "Your own";

const byId = <T extends HTMLElement = HTMLElement>(id: string) => document.getElementById(id) as T;
const picker = byId<HTMLSelectElement>("runtime");
const notice = byId("notice");
const storage = new PageStorage();
const address = new URL(".", location.href).href;
const signIn = new SignIn(address.replace(/\/+$/, ""), browser().lasting);

let runtimes: Runtime[] = [];
let editor: LiveCode;
let server: Server;
/** The program that the editor was last given. The user may have changed it since. */
let loaded: Example = { title: "", runtime: "python", code: "" };
/** The session that the editor shows. */
let shownSession: Pick<TabState, "session" | "isWatching"> = {};
/** The timer that stores the draft; undefined if there is nothing to store. */
let draftTimer: ReturnType<typeof setTimeout> | undefined;

const findRuntime = (name: string | undefined) => runtimes.find((runtime) => runtime.name === name);
const titleOf = (name: string) => findRuntime(name)?.title ?? name;
const currentRuntime = () => editor.getAttribute("runtime") ?? "python";
const currentProgram = () => ({ runtime: currentRuntime(), code: editor.code });

/** The examples for a runtime: the runtime's own, those of this page, and the user's draft. */
function listExamples(runtime: string): Example[] {
  const example = findRuntime(runtime)?.example;
  const draft = storage.draft(runtime);
  return [
    ...(example ? [{ title: "Hello", runtime, code: example.trim() }] : []),
    ...examplesOf(runtime),
    ...(draft === undefined ? [] : [{ title: DRAFT_TITLE, runtime, code: draft }]),
  ];
}

/** Shows a program in the editor, in place of its current one. */
function showProgram(program: Example): void {
  storeDraft();
  loaded = program;
  editor.load(program.runtime, program.code);
  // Loading a program is not an edit of the user.
  clearTimeout(draftTimer);
  draftTimer = undefined;
  picker.value = program.runtime;
  updateSurroundings();
}

/** Updates the examples and the notice for the editor's program. */
function updateSurroundings(): void {
  const runtime = currentRuntime();
  byId("examples").replaceChildren(...listExamples(runtime).map(createExampleButton));
  const needs = findRuntime(runtime)?.needs;
  notice.textContent = needs ? `This machine cannot run ${titleOf(runtime)} yet: ${needs}` : "";
  storeTab();
}

function createExampleButton(example: Example): HTMLButtonElement {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = example.title;
  const isLoaded = example.title === loaded.title && example.runtime === loaded.runtime;
  button.setAttribute("aria-pressed", String(isLoaded));
  button.addEventListener("click", () => {
    showProgram(example);
    // Showing the program has replaced all buttons, so this one is looked up again.
    const buttons = byId("examples");
    const replaced = [...buttons.children].find(({ textContent }) => textContent === example.title);
    replaced?.scrollIntoView({ block: "nearest", inline: "nearest" });
    buttons.querySelector<HTMLElement>("[aria-pressed=true]")?.focus();
  });
  return button;
}

function storeTab(): void {
  storage.tab = { ...currentProgram(), ...shownSession };
}

/** Stores the user's changes since the last call, if there are any. */
function storeDraft(): void {
  if (draftTimer === undefined) return;
  clearTimeout(draftTimer);
  draftTimer = undefined;
  const program = currentProgram();
  if (program.code !== loaded.code) storage.storeDraft(program);
  storeTab();
}

function handleEdit(): void {
  clearTimeout(draftTimer);
  draftTimer = setTimeout(storeDraft, DRAFT_DELAY_MS);
}

interface FollowOptions {
  watch: boolean;
  /** The program of the session, if the caller knows it. */
  runtime?: string | undefined;
  code?: string | undefined;
}

/** Follows a session, and shows its program if the program is known. */
function followSession(id: string, options: FollowOptions): void {
  const stored = storage.program(id);
  const runtime = options.runtime ?? stored?.runtime;
  const code = options.code ?? stored?.code;
  const isShown = runtime === currentRuntime() && code === editor.code;
  if (!isShown && code !== undefined && findRuntime(runtime)) {
    showProgram({ title: "", runtime: String(runtime), code });
  }
  shownSession = { session: id, isWatching: options.watch };
  editor.follow(id, options);
  storeTab();
}

/**
 * Opens the link in the page's address: shows its program or follows its session. No program is
 * run before the user presses Run. Calls `otherwise` if the address contains no link.
 */
async function openLink(otherwise: () => void): Promise<void> {
  const { hash } = location;
  if (hash) history.replaceState(null, "", location.pathname + location.search);
  try {
    const { session, runtime, code } = (await fromFragment(hash)) ?? {};
    if (session) followSession(session, { watch: true, runtime, code });
    else if (code !== undefined) {
      showProgram({ title: "", runtime: findRuntime(runtime)?.name ?? "python", code });
    } else otherwise();
  } catch {
    otherwise();
    notice.textContent = "This link is broken: a part of it seems to be missing.";
  }
}

/** Restores the state of the tab before a reload, or else shows the first example. */
function restoreTab(tab: TabState | undefined): void {
  if (!tab) {
    const [first = { title: "", runtime: "python", code: "" }] = listExamples("python");
    return showProgram(first);
  }
  const { runtime, code, session, isWatching = false } = tab;
  const isStored = (example: Example) => example.runtime === runtime && example.code === code;
  showProgram(listExamples(runtime).find(isStored) ?? { title: "", runtime, code });
  if (session) followSession(session, { watch: isWatching, runtime, code });
}

const shareStatus = () => byId("share-dialog").querySelector(".said") as HTMLElement;

/** Opens the dialog with the links to the program and to the session. */
async function openShareDialog(): Promise<void> {
  const toLink = (fragment: string) => new URL(fragment, location.href.replace(/#.*/, "")).href;
  const codeLink = byId<HTMLInputElement>("code-link");
  codeLink.value = toLink(await toFragment(currentProgram()));
  const id = editor.session?.id;
  // Users who are known by tokens have their sessions for themselves.
  const isShareable = id !== undefined && !signIn.token;
  byId("watch").hidden = !isShareable;
  if (isShareable) {
    const watchLink = byId<HTMLInputElement>("watch-link");
    watchLink.value = toLink(await toFragment({ ...storage.program(id), session: id }));
  }
  shareStatus().textContent = "";
  byId<HTMLDialogElement>("share-dialog").showModal();
}

async function copyLink(input: HTMLInputElement): Promise<void> {
  input.select();
  try {
    await navigator.clipboard.writeText(input.value);
  } catch {
    // Browsers allow the clipboard API only to pages that were loaded over TLS or from loopback.
    document.execCommand("copy");
  }
  shareStatus().textContent = "Copied.";
}

/** Requests the runtimes, as often as it takes until the server answers and the user is known. */
async function fetchRuntimes(): Promise<Runtime[]> {
  for (;;) {
    try {
      const { token } = signIn;
      const response = await fetch(new URL("runtimes", address), {
        headers: SignIn.headers(token),
      });
      if (response.ok) return (await response.json()) as Runtime[];
      if (response.status === 401) {
        notice.textContent = "";
        await signIn.source(token);
        continue;
      }
    } catch {
      // There was no response. The notice below reports that, too.
    }
    notice.textContent = "The server does not answer. Asking again…";
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

function fillPicker(): void {
  const groups = [
    ["On this server", true],
    ["Not installed here", false],
  ] as const;
  for (const [label, isAvailable] of groups) {
    const group = document.createElement("optgroup");
    group.label = label;
    for (const { name, title, available } of runtimes) {
      if (available === isAvailable) group.append(new Option(title, name));
    }
    if (group.childElementCount) picker.append(group);
  }
  picker.disabled = false;
  picker.addEventListener("change", () => {
    const examples = listExamples(picker.value);
    const draft = examples.find(({ title }) => title === DRAFT_TITLE);
    showProgram(draft ?? examples[0] ?? { title: "", runtime: picker.value, code: "" });
  });
}

function createEditor(runtime: string): LiveCode {
  const element = document.createElement("live-code") as LiveCode;
  const attributes = { layout: "split", keep: "", server: server.base, runtime };
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (signIn.token) element.token = signIn.source;
  element.addEventListener("livecode-change", handleEdit);
  element.addEventListener("livecode-state", () => {
    // The user has started a session if the editor shows one that is not known here.
    const id = element.session?.id;
    if (!id || id === shownSession.session) return;
    shownSession = { session: id };
    storage.storeProgram(id, currentProgram());
    storeTab();
  });
  return element;
}

/** Runs the program on Ctrl-Enter or Cmd-Enter, except in inputs and dialogs. */
function handleKey(event: KeyboardEvent): void {
  const isRunKey = event.key === "Enter" && (event.ctrlKey || event.metaKey);
  if (!isRunKey || event.defaultPrevented) return;
  const isElsewhere = event
    .composedPath()
    .some((part) => part instanceof HTMLInputElement || part instanceof HTMLDialogElement);
  if (!isElsewhere) editor.run();
}

/** Forgets the user and what the user wrote. The page begins anew, with the form to sign in. */
function signOut(): void {
  removeEventListener("pagehide", storeDraft);
  clearTimeout(draftTimer);
  storage.forget(runtimes.map(({ name }) => name));
  signIn.forget();
  location.reload();
}

async function start(): Promise<void> {
  [runtimes] = await Promise.all([fetchRuntimes(), customElements.whenDefined("live-code")]);
  notice.textContent = "";
  server = new Server(address, browser(), signIn.token ? signIn.source : undefined);
  fillPicker();
  const tab = storage.tab;
  editor = createEditor(tab?.runtime ?? "python");
  byId("place").replaceChildren(editor);
  await openLink(() => restoreTab(tab));
  addEventListener("pagehide", storeDraft);
  addEventListener("keydown", handleKey);
  addEventListener("hashchange", () => void openLink(() => {}));
  const shareButton = byId<HTMLButtonElement>("share");
  shareButton.disabled = false;
  shareButton.addEventListener("click", () => void openShareDialog());
  const titles = new Map(runtimes.map(({ name, title }) => [name, title]));
  const sessionsDialog = new SessionsDialog(server, storage, titles, ({ id }) =>
    followSession(id, { watch: false }),
  );
  const sessionsButton = byId<HTMLButtonElement>("sessions");
  sessionsButton.disabled = false;
  sessionsButton.addEventListener("click", () => void sessionsDialog.show());
  const signOutButton = byId<HTMLButtonElement>("sign-out");
  signOutButton.hidden = !signIn.token;
  signOutButton.addEventListener("click", () =>
    byId<HTMLDialogElement>("sign-out-dialog").showModal(),
  );
  byId("sign-out-now").addEventListener("click", signOut);
  for (const link of document.querySelectorAll<HTMLElement>(".link")) {
    const input = link.querySelector("input") as HTMLInputElement;
    link.querySelector("button")?.addEventListener("click", () => void copyLink(input));
  }
}

void start();
