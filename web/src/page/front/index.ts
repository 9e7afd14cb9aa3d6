/** The server's front page: a language, an editor, examples, links to share, and the way back into one's sessions. */

import "./page.css";
import { browser } from "../../client/environment.js";
import { Server } from "../../client/server.js";
import type { LiveCode } from "../../editor/element.js";
import { type Example, examplesOf } from "./examples.js";
import { Memory, type Tab } from "./memory.js";
import { Sessions } from "./sessions.js";
import { fromFragment, toFragment } from "./share.js";

/** As much of `GET /runtimes` as is used. */
interface Runtime {
  name: string;
  title: string;
  available: boolean;
  needs?: string;
  example: string;
}

/** How long what is written is not kept yet, in milliseconds. */
const DRAFT_MS = 500;
/** After how long a server that did not answer is asked again, in milliseconds. */
const AGAIN_MS = 2000;

const find = <T extends HTMLElement = HTMLElement>(id: string) => document.getElementById(id) as T;
const picker = find<HTMLSelectElement>("runtime");
const notice = find("notice");
const memory = new Memory();
const server = new Server(new URL(".", location.href).href, browser());

let runtimes: Runtime[] = [];
let live: LiveCode;
/** What the editor was given, and what it stands for. */
let given: Example = { title: "", runtime: "python", code: "" };

const titleOf = (name: string) => runtimes.find((runtime) => runtime.name === name)?.title ?? name;
const runtimeNow = () => live.getAttribute("runtime") ?? "python";

function examples(runtime: string): Example[] {
  const own = runtimes.find(({ name }) => name === runtime);
  const draft = memory.draft(runtime);
  return [
    ...(own?.example ? [{ title: "Hello", runtime, code: own.example.trim() }] : []),
    ...examplesOf(runtime),
    ...(draft === undefined ? [] : [{ title: "Your own", runtime, code: draft }]),
  ];
}

/** Shows a program in the editor, in place of what stands there. */
function show(example: Example): void {
  keepDraft();
  given = example;
  live.load(example.runtime, example.code);
  // That was no writing.
  clearTimeout(draft);
  draft = undefined;
  picker.value = example.runtime;
  shown();
}

/** Brings what stands around the editor in line with it. */
function shown(): void {
  const runtime = runtimeNow();
  const buttons = examples(runtime).map((example) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = example.title;
    button.setAttribute("aria-pressed", String(example.title === given.title && example.runtime === given.runtime));
    button.addEventListener("click", () => {
      show(example);
      // It was made anew.
      [...find("examples").children].find(({ textContent }) => textContent === example.title)?.scrollIntoView({ block: "nearest", inline: "nearest" });
      find("examples").querySelector<HTMLElement>("[aria-pressed=true]")?.focus();
    });
    return button;
  });
  find("examples").replaceChildren(...buttons);
  const needs = runtimes.find(({ name }) => name === runtime)?.needs;
  notice.textContent = needs ? `This machine cannot run ${titleOf(runtime)} yet: ${needs}` : "";
  remember();
}

let session: Pick<Tab, "session" | "isWatching"> = {};

function remember(): void {
  memory.tab = { runtime: runtimeNow(), code: live.code, ...session };
}

let draft: ReturnType<typeof setTimeout> | undefined;

/** Keeps what was written and is not kept yet. */
function keepDraft(): void {
  if (draft === undefined) return;
  clearTimeout(draft);
  draft = undefined;
  const written = { runtime: runtimeNow(), code: live.code };
  if (written.code !== given.code) memory.keepDraft(written);
  remember();
}

function edited(): void {
  clearTimeout(draft);
  draft = setTimeout(keepDraft, DRAFT_MS);
}

/** Follows a session, and shows what it runs where that is known. */
function follow(id: string, options: { watch: boolean; runtime?: string | undefined; code?: string | undefined }): void {
  const known = memory.program(id);
  const runtime = options.runtime ?? known?.runtime;
  const code = options.code ?? known?.code;
  const isShown = runtime === runtimeNow() && code === live.code;
  if (!isShown && code !== undefined && runtimes.some(({ name }) => name === runtime)) show({ title: "", runtime: String(runtime), code });
  session = { session: id, isWatching: options.watch };
  live.follow(id, options);
  remember();
}

/** What a link says: a program is shown, a session followed. Nothing is run before its reader says so. */
async function takeLink(otherwise: () => void): Promise<void> {
  const { hash } = location;
  if (hash) history.replaceState(null, "", location.pathname + location.search);
  try {
    const { session, runtime, code } = (await fromFragment(hash)) ?? {};
    if (session) follow(session, { watch: true, runtime, code });
    else if (code !== undefined) show({ title: "", runtime: runtimes.find(({ name }) => name === runtime)?.name ?? "python", code });
    else otherwise();
  } catch {
    otherwise();
    notice.textContent = "This link is broken: a part of it seems to be missing.";
  }
}

/** What stood here before a reload, or else the first example. */
function comeBack(before: Tab | undefined): void {
  if (!before) return show(examples("python")[0] ?? { title: "", runtime: "python", code: "" });
  const { runtime, code, session, isWatching = false } = before;
  show(examples(runtime).find((example) => example.runtime === runtime && example.code === code) ?? { title: "", runtime, code });
  if (session) follow(session, { watch: isWatching, runtime, code });
}

async function share(): Promise<void> {
  const dialog = find<HTMLDialogElement>("share-dialog");
  const address = (fragment: string) => new URL(fragment, location.href.replace(/#.*/, "")).href;
  const program = { runtime: runtimeNow(), code: live.code };
  find<HTMLInputElement>("code-link").value = address(await toFragment(program));
  const id = live.session?.id;
  find("watch").hidden = !id;
  if (id) find<HTMLInputElement>("watch-link").value = address(await toFragment({ ...memory.program(id), session: id }));
  (dialog.querySelector(".said") as HTMLElement).textContent = "";
  dialog.showModal();
}

async function copy(link: HTMLInputElement): Promise<void> {
  link.select();
  try {
    await navigator.clipboard.writeText(link.value);
  } catch {
    // No page that came without TLS has a clipboard; what is selected can still be copied the old way.
    document.execCommand("copy");
  }
  (find("share-dialog").querySelector(".said") as HTMLElement).textContent = "Copied.";
}

/** The runtimes, once the server says them. */
async function askForRuntimes(): Promise<Runtime[]> {
  for (;;) {
    try {
      const answer = await fetch(`${server.base}/runtimes`);
      if (answer.ok) return (await answer.json()) as Runtime[];
    } catch {
      // said below
    }
    notice.textContent = "The server does not answer. Asking again…";
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

function fillPicker(): void {
  const groups = [["On this server", true], ["Not installed here", false]] as const;
  for (const [label, isHere] of groups) {
    const group = document.createElement("optgroup");
    group.label = label;
    for (const { name, title } of runtimes.filter(({ available }) => available === isHere)) group.append(new Option(title, name));
    if (group.childElementCount) picker.append(group);
  }
  picker.disabled = false;
  picker.addEventListener("change", () => {
    const all = examples(picker.value);
    const own = all.find(({ title }) => title === "Your own");
    show(own ?? all[0] ?? { title: "", runtime: picker.value, code: "" });
  });
}

async function begin(): Promise<void> {
  [runtimes] = await Promise.all([askForRuntimes(), customElements.whenDefined("live-code")]);
  notice.textContent = "";
  fillPicker();
  const before = memory.tab;
  live = document.createElement("live-code") as LiveCode;
  for (const [name, value] of [["layout", "split"], ["keep", ""], ["server", server.base], ["runtime", before?.runtime ?? "python"]] as const) {
    live.setAttribute(name, value);
  }
  live.addEventListener("livecode-change", edited);
  live.addEventListener("livecode-state", () => {
    const { session: followed } = live;
    if (!followed?.id || followed.id === session.session) return;
    session = { session: followed.id };
    memory.keepProgram(followed.id, { runtime: runtimeNow(), code: live.code });
    remember();
  });
  find("place").replaceChildren(live);
  await takeLink(() => comeBack(before));
  addEventListener("pagehide", keepDraft);
  addEventListener("keydown", (event) => {
    const isElsewhere = event.composedPath().some((part) => part instanceof HTMLInputElement || part instanceof HTMLDialogElement);
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.defaultPrevented && !isElsewhere) live.run();
  });
  addEventListener("hashchange", () => void takeLink(() => {}));
  const share_ = find<HTMLButtonElement>("share");
  share_.disabled = false;
  share_.addEventListener("click", () => void share());
  for (const link of document.querySelectorAll<HTMLElement>(".link")) {
    link.querySelector("button")?.addEventListener("click", () => void copy(link.querySelector("input") as HTMLInputElement));
  }
}

const sessions = new Sessions(server, memory, titleOf, ({ id }) => follow(id, { watch: false }));
find("sessions").addEventListener("click", () => void sessions.show());
void begin();
