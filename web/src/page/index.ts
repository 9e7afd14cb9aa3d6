/** The server's front page: an editor with a choice of runtimes, programs, links and sessions. */

import "./page.css";
import { browser } from "../client/environment.js";
import { Server } from "../client/server.js";
import type { LiveCode } from "../editor/element.js";
import { loadWords, locale } from "../words/choose.js";
import { words } from "../words/words.js";
import type { ProgramsDialog } from "./programs/dialog.js";
import { freeName, isFileName } from "./programs/files.js";
import { keysOf } from "./programs/keeper.js";
import { inTime, isQuotaError, ProgramStore } from "./programs/store.js";
import { type Runtime, Runtimes } from "./runtimes.js";
import { describeAge, SessionsDialog } from "./sessions.js";
import { frameTag, sharedOf, toFragment } from "./share.js";
import { Shares } from "./shares.js";
import { SignIn } from "./sign-in.js";
import { PageStorage } from "./storage.js";
import { fillLanguages, translatePage } from "./translate.js";
import { takeFragment, Workspace } from "./workspace.js";

/** The delay before the server is asked again after a failure, in milliseconds. */
const RETRY_MS = 2000;

const byId = <T extends HTMLElement = HTMLElement>(id: string) => document.getElementById(id) as T;
const notice = byId("notice");
const keys = () => keysOf(() => localStorage);
const storage = new PageStorage(keys);
const store = new ProgramStore();
const address = new URL(".", location.href).href;
const signIn = new SignIn(address.replace(/\/+$/, ""), browser().lasting);

let editor: LiveCode;
let server: Server;
let shares: Shares;
let workspace: Workspace;

/** The fragment of the link that is opened once the page is ready; undefined afterwards. */
let firstFragment: string | undefined;
/** Called when the user opens the link of a share before the page is ready. */
let onShare = () => {};

const isShare = (fragment: string | undefined) => /[#&]share=/.test(fragment ?? "");

/** Opens a link that the user has put in the address of this tab. */
function handleLink(): void {
  const fragment = takeFragment();
  if (!fragment) return;
  if (firstFragment === undefined) return void workspace.openLink(fragment, () => {});
  firstFragment = fragment;
  if (isShare(fragment)) onShare();
}

const shareStatus = () => byId("share-dialog").querySelector(".said") as HTMLElement;

/** Opens the dialog with the links to the program and to the session. */
async function openShareDialog(): Promise<void> {
  const toLink = (fragment: string) => new URL(fragment, location.href.replace(/#.*/, "")).href;
  const codeLink = byId<HTMLInputElement>("code-link");
  const { runtime, files } = workspace;
  const fragment = await toFragment({ runtime, ...sharedOf(files) });
  codeLink.value = toLink(fragment);
  const frame = new URL(`embed${fragment}`, address).href;
  byId<HTMLInputElement>("frame-code").value = frameTag(frame, words.programToRun);
  // A frame is a guest's, and a server that knows its users takes none.
  byId("frame-section").hidden = signIn.token !== undefined;
  shareStatus().textContent = "";
  byId<HTMLDialogElement>("share-dialog").showModal();
  // Only the owner of a session may share it.
  const { session } = editor;
  const id = session?.rights ? undefined : session?.id;
  const ran = id === undefined ? undefined : storage.program(id);
  await shares.show(id, ran ? { runtime: ran.runtime, ...sharedOf(ran.files) } : {});
}

async function copyLink(input: HTMLInputElement): Promise<void> {
  input.select();
  try {
    await navigator.clipboard.writeText(input.value);
  } catch {
    // Browsers allow the clipboard API only to pages that were loaded over TLS or from loopback.
    document.execCommand("copy");
  }
  shareStatus().textContent = words.copiedLink;
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
    notice.textContent = words.askingAgain;
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

function createEditor(): LiveCode {
  const element = document.createElement("live-code") as LiveCode;
  const visitor: { visitor?: string } = isVisitor() ? { visitor: "" } : {};
  const attributes = { layout: "split", keep: "", server: server.base, ...visitor };
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (signIn.token) element.token = signIn.source;
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

/** The dialog with the user's programs, once it is loaded. */
let programsDialog: ProgramsDialog | undefined;

/** The part of the page that is not needed for its first view. */
const loadDialog = () => import("./programs/dialog.js");

async function openPrograms(runtimes: Runtimes): Promise<void> {
  try {
    programsDialog ??= new (await loadDialog()).ProgramsDialog({
      words,
      dialog: byId<HTMLDialogElement>("programs-dialog"),
      store,
      runtimes: runtimes.all,
      titleOf: (runtime) => runtimes.titleOf(runtime),
      describeAge: (date) => describeAge(date),
      formatTime: (date) => date.toLocaleString(locale()),
      freeName,
      isFileName,
      newId: () => browser().hex(16),
      current: () => ({
        runtime: workspace.runtime,
        program: workspace.keeper.entry.program?.id,
      }),
      flush: () => inTime(workspace.keeper.flush()).catch(() => {}),
      list: () => workspace.list(),
      isQuotaError,
      open: (program) => void workspace.open(program),
      openNew: () => workspace.showNew(),
      onDeleted: (id) => {
        workspace.keeper.drop(id);
        void workspace.refresh();
      },
      onStored: (id) => {
        void workspace.keeper.handleStoredElsewhere(id);
        void workspace.refresh();
      },
    });
    await programsDialog.show();
  } catch {
    notice.textContent = words.notListed;
  }
}

/** A phone may end a page that is hidden, and tells it nothing more. */
function handleVisibility(): void {
  if (document.hidden) handleLeaving();
}

/** Stores what is not stored yet, since the page may be closed now. */
function handleLeaving(): void {
  // The user may have signed out in another tab, which this one does not know yet.
  if (isSignedOut || (wasSignedIn && !signIn.token)) return;
  workspace.keeper.flushNow();
  workspace.storeTab();
  void workspace.keeper.flush();
}

let wasSignedIn = false;
/** Whether the user has signed out, so that nothing may be stored any more. */
let isSignedOut = false;

/** Removes what the user wrote from the browser. Returns whether the programs are removed. */
async function forgetUser(): Promise<boolean> {
  workspace.keeper.forget();
  const isCleared = await inTime(store.clear()).then(
    () => true,
    () => false,
  );
  storage.forget();
  return isCleared;
}

/** Forgets the user and what the user wrote. The page begins anew, with the form to sign in. */
async function signOut(): Promise<void> {
  isSignedOut = true;
  await workspace.keeper.stop();
  const isCleared = await forgetUser();
  storage.startEpoch(browser().hex(8));
  signIn.forget();
  if (!isCleared && workspace.programs.length > 0) alert(words.notRemoved);
  location.reload();
}

/** Forgets the user, who has signed out in another tab. */
async function handleSignedOut(): Promise<void> {
  isSignedOut = true;
  await workspace.keeper.stop();
  // If this tab was frozen meanwhile, the next user may be here already.
  if (!signIn.token) await forgetUser();
  storage.forgetTab();
}

async function start(): Promise<void> {
  firstFragment = takeFragment();
  addEventListener("hashchange", handleLink);
  await loadWords();
  translatePage();
  fillLanguages(byId<HTMLSelectElement>("interface-language"));
  const tab = storage.tab;
  const isOpened = () => firstFragment && firstFragment !== tab?.link;
  const hasShare = () => isShare(firstFragment) || (!isOpened() && tab?.share !== undefined);
  const [all] = await Promise.all([
    fetchRuntimes(hasShare),
    customElements.whenDefined("live-code"),
  ]);
  const runtimes = new Runtimes(all);
  notice.textContent = "";
  wasSignedIn = signIn.token !== undefined;
  const isKnownOtherwise = !signIn.token && !isVisitor();
  server = new Server(address, browser(), isKnownOtherwise ? undefined : signIn.source);
  // The token is used again if the server does not answer.
  await server.forgetUnusedToken().catch(() => {});
  shares = new Shares(server, (text) => (shareStatus().textContent = text));
  const picker = byId<HTMLSelectElement>("runtime");
  runtimes.fillPicker(picker);
  picker.disabled = false;
  editor = createEditor();
  const [examples, own] = [byId("examples"), byId("own")];
  const parts = { editor, runtimes, picker, notice, examples, own };
  workspace = new Workspace(parts, storage, store, keys);
  await workspace.start();
  byId("place").replaceChildren(editor);
  const fragment = isOpened() ? firstFragment : "";
  firstFragment = undefined;
  await workspace.openLink(fragment ?? "", () => workspace.restore(tab));
  addEventListener("pagehide", handleLeaving);
  document.addEventListener("visibilitychange", handleVisibility);
  signIn.onSignedOut = handleSignedOut;
  addEventListener("keydown", handleKey);
  const shareButton = byId<HTMLButtonElement>("share");
  shareButton.disabled = false;
  shareButton.addEventListener("click", () => void openShareDialog());
  const programsButton = byId<HTMLButtonElement>("programs");
  programsButton.disabled = false;
  programsButton.addEventListener("click", () => void openPrograms(runtimes));
  const titles = new Map(all.map(({ name, title }) => [name, title]));
  const sessionsDialog = new SessionsDialog(server, storage, titles, ({ id, runtime }) =>
    workspace.followSession(id, { watch: false, runtime: String(runtime) }),
  );
  const sessionsButton = byId<HTMLButtonElement>("sessions");
  sessionsButton.disabled = false;
  sessionsButton.addEventListener("click", () => void sessionsDialog.show());
  const signOutButton = byId<HTMLButtonElement>("sign-out");
  signOutButton.hidden = !signIn.token;
  signOutButton.addEventListener("click", () =>
    byId<HTMLDialogElement>("sign-out-dialog").showModal(),
  );
  byId("sign-out-now").addEventListener("click", () => void signOut());
  // Programs can be downloaded also when the server does not answer any more.
  loadDialog().catch(() => {});
  for (const button of document.querySelectorAll<HTMLElement>(".copy")) {
    const input = button.parentElement?.querySelector("input") as HTMLInputElement;
    button.addEventListener("click", () => void copyLink(input));
  }
}

void start();
