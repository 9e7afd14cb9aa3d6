/** The server's front page: an editor with a choice of runtimes, examples, links and sessions. */

import "./page.css";
import { browser } from "../client/environment.js";
import { Server } from "../client/server.js";
import type { LiveCodeError } from "../client/messages.js";
import type { LiveCode } from "../editor/element.js";
import { type Example, examplesOf } from "./examples.js";
import { SessionsDialog } from "./sessions.js";
import { fromFragment, toFragment } from "./share.js";
import { Shares } from "./shares.js";
import { SignIn } from "./sign-in.js";
import { PageStorage, type TabState } from "./storage.js";

/** An entry of `GET /runtimes`: the fields that are used. */
interface Runtime {
  name: string;
  title: string;
  available: boolean;
  /** What is missing on the server, if the runtime is not available. */
  needs?: string;
  /** Whether its hello ran there, if that was tried. */
  check?: { failure?: string };
  editor_mode: string;
  example: string;
}

/** The time after the last change at which a draft is stored, in milliseconds. */
const DRAFT_DELAY_MS = 500;
/** The delay before the server is asked again after a failure, in milliseconds. */
const RETRY_MS = 2000;
/** Told when a link opens no session. */
const NOT_SHARED =
  "This link opens no session any more: it has expired or was revoked, or the program has ended " +
  "and is not kept. Whoever sent it to you can make a new one.";
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
let shares: Shares;
/** The program that the editor was last given. The user may have changed it since. */
let loaded: Example = { title: "", runtime: "python", code: "" };
/** The session that the editor shows. */
let shownSession: Pick<TabState, "session" | "isWatching" | "share"> = {};
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

/** Sets the language that the editor highlights. An operator's runtime may have any name. */
function setLanguage(runtime: string): void {
  const mode = findRuntime(runtime)?.editor_mode;
  if (mode) editor.setAttribute("language", mode);
  else editor.removeAttribute("language");
}

/** Shows a program in the editor, in place of its current one. */
function showProgram(program: Example): void {
  storeDraft();
  loaded = program;
  setLanguage(program.runtime);
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
  const { needs: missing, check } = findRuntime(runtime) ?? {};
  const needs = missing ?? check?.failure;
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

/** Shows the program of a session, if it is known. */
function showProgramOf({ runtime, code }: Pick<FollowOptions, "runtime" | "code">): void {
  const isShown = runtime === currentRuntime() && code === editor.code;
  const isKnown = findRuntime(runtime) !== undefined || isVisitor();
  if (!isShown && runtime !== undefined && code !== undefined && isKnown) {
    showProgram({ title: "", runtime, code });
  }
}

/** Follows a session, and shows its program if the program is known. */
function followSession(id: string, options: FollowOptions): void {
  const stored = storage.program(id);
  const runtime = options.runtime ?? stored?.runtime;
  const code = options.code ?? stored?.code;
  showProgramOf({ runtime, code });
  shownSession = { session: id, isWatching: options.watch };
  editor.follow(id, options);
  storeTab();
}

/** Follows the session that the secret of a share opens. */
function followShare(share: string, program: Pick<FollowOptions, "runtime" | "code">): void {
  showProgramOf(program);
  shownSession = { share };
  editor.followShare(share);
  const { session } = editor;
  session?.ended.catch(({ code }: LiveCodeError) => {
    if (code !== "no_such_share" || editor.session !== session) return;
    notice.textContent = NOT_SHARED;
    // A tab that kept the secret would be a visitor's for ever.
    shownSession = {};
    storeTab();
  });
  storeTab();
}

/** The fragment of the link that is opened once the page is ready; undefined afterwards. */
let firstFragment: string | undefined;
/** Called when the user opens the link of a share before the page is ready. */
let onShare = () => {};

const isShare = (fragment: string | undefined) => /[#&]share=/.test(fragment ?? "");

/** Opens a link that the user has put in the address of this tab. */
function handleLink(): void {
  const fragment = takeFragment();
  if (!fragment) return;
  if (firstFragment === undefined) return void openLink(fragment, () => {});
  firstFragment = fragment;
  if (isShare(fragment)) onShare();
}

/** Takes the link out of the page's address, where it is not to be seen, and returns it. */
function takeFragment(): string {
  const { hash } = location;
  if (hash) history.replaceState(null, "", location.pathname + location.search);
  return hash;
}

/**
 * Opens the link in a fragment: shows its program or follows its session. No program is run before
 * the user presses Run. Calls `otherwise` if there is no link.
 */
async function openLink(fragment: string, otherwise: () => void): Promise<void> {
  try {
    const { session, share, runtime, code } = (await fromFragment(fragment)) ?? {};
    if (share) followShare(share, { runtime, code });
    else if (session) followSession(session, { watch: true, runtime, code });
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
  const { runtime, code, session, share, isWatching = false } = tab;
  const isStored = (example: Example) => example.runtime === runtime && example.code === code;
  showProgram(listExamples(runtime).find(isStored) ?? { title: "", runtime, code });
  if (share) followShare(share, { runtime, code });
  else if (session) followSession(session, { watch: isWatching, runtime, code });
}

const shareStatus = () => byId("share-dialog").querySelector(".said") as HTMLElement;

/** Opens the dialog with the links to the program and to the session. */
async function openShareDialog(): Promise<void> {
  const toLink = (fragment: string) => new URL(fragment, location.href.replace(/#.*/, "")).href;
  const codeLink = byId<HTMLInputElement>("code-link");
  codeLink.value = toLink(await toFragment(currentProgram()));
  shareStatus().textContent = "";
  byId<HTMLDialogElement>("share-dialog").showModal();
  // Only the owner of a session may share it.
  const { session } = editor;
  const id = session?.rights ? undefined : session?.id;
  await shares.show(id, (id !== undefined && storage.program(id)) || {});
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

/** Whether the user is not known here, and sees the page only because of a share. */
const isVisitor = () => document.body.classList.contains("visitor");

/**
 * Requests the runtimes, as often as it takes until the server answers and the user is known. A
 * visitor who comes by a share, before or while the page asks for a token, need not be known, and
 * gets none.
 */
async function fetchRuntimes(hasShare: () => boolean): Promise<Runtime[]> {
  for (;;) {
    try {
      const { token } = signIn;
      const response = await fetch(new URL("runtimes", address), {
        headers: SignIn.headers(token),
      });
      if (response.ok) return (await response.json()) as Runtime[];
      if (response.status === 401) {
        notice.textContent = "";
        if (hasShare()) {
          signIn.dismiss();
          offerSignIn(token);
          document.body.classList.add("visitor");
          return [];
        }
        const shareCame = new Promise<void>((resolve) => (onShare = resolve));
        await Promise.race([signIn.source(token), shareCame]);
        continue;
      }
    } catch {
      // There was no response. The notice below reports that, too.
    }
    notice.textContent = "The server does not answer. Asking again…";
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/**
 * Offers a visitor to sign in. Afterwards the page begins anew, and shows the same session.
 * `refused` is the token that the server has refused, if the browser has one.
 */
function offerSignIn(refused: string | undefined): void {
  const button = byId<HTMLButtonElement>("visitor-sign-in");
  button.hidden = false;
  button.addEventListener("click", () => {
    void signIn.source(refused).then(() => location.reload());
    byId("token").focus();
  });
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
  const visitor: { visitor?: string } = isVisitor() ? { visitor: "" } : {};
  const attributes = { layout: "split", keep: "", server: server.base, runtime, ...visitor };
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (signIn.token) element.token = signIn.source;
  element.addEventListener("livecode-change", handleEdit);
  element.addEventListener("livecode-state", () => {
    // The user has started a session if the editor shows one that is not known here.
    const id = element.session?.id;
    if (!id || id === shownSession.session || element.session?.rights) return;
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
  firstFragment = takeFragment();
  addEventListener("hashchange", handleLink);
  const tab = storage.tab;
  const hasShare = () => isShare(firstFragment) || (!firstFragment && tab?.share !== undefined);
  [runtimes] = await Promise.all([
    fetchRuntimes(hasShare),
    customElements.whenDefined("live-code"),
  ]);
  notice.textContent = "";
  const isKnownOtherwise = !signIn.token && !isVisitor();
  server = new Server(address, browser(), isKnownOtherwise ? undefined : signIn.source);
  // The token is used again if the server does not answer.
  await server.forgetUnusedToken().catch(() => {});
  shares = new Shares(server, (text) => (shareStatus().textContent = text));
  fillPicker();
  editor = createEditor(tab?.runtime ?? "python");
  byId("place").replaceChildren(editor);
  const fragment = firstFragment;
  firstFragment = undefined;
  await openLink(fragment, () => restoreTab(tab));
  addEventListener("pagehide", storeDraft);
  addEventListener("keydown", handleKey);
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
  for (const button of document.querySelectorAll<HTMLElement>(".copy")) {
    const input = button.parentElement?.querySelector("input") as HTMLInputElement;
    button.addEventListener("click", () => void copyLink(input));
  }
}

void start();
