/**
 * The dialog with the user's programs. It is loaded when it is first opened, and imports nothing
 * that the page has, so that it stays a file of its own.
 */

import {
  downloadNameOf,
  MAX_BYTES,
  pack,
  type PlainProgram,
  UploadError,
  unpack,
} from "./archive.js";
import type { Files } from "./files.js";
import type { Program, ProgramStore, Version } from "./store.js";
import type { Words } from "../../words/words.js";
import type { Runtime } from "../runtimes.js";

/** What the dialog needs of the page. */
export interface Page {
  words: Words;
  dialog: HTMLDialogElement;
  store: ProgramStore;
  runtimes: Runtime[];
  titleOf(runtime: string): string;
  describeAge(date: Date): string;
  formatTime(date: Date): string;
  freeName(name: string, others: Iterable<string>): string;
  isFileName(name: string): boolean;
  newId(): string;
  /** The runtime of the editor, and its program if it is one of the user's. */
  current(): { runtime: string; program: string | undefined };
  /** Stores everything that the user has written, if the browser can. */
  flush(): Promise<void>;
  /** The programs as they were written last, also those that could not be stored. */
  list(): Promise<Program[]>;
  isQuotaError(error: unknown): boolean;
  open(program: Program): void;
  openNew(): void;
  /** Tells the page that a program was deleted here. */
  onDeleted(id: string): void;
  /** Tells the page that a program was stored here. */
  onStored(id: string): void;
}

/** The name of the file with all programs. */
const ARCHIVE = "programs.zip";

type Child = Node | string;

function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className = "",
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function button(text: string, label: string, onClick: () => unknown): HTMLButtonElement {
  const made = element("button", "", text);
  made.type = "button";
  if (label) made.setAttribute("aria-label", label);
  made.addEventListener("click", () => void onClick());
  return made;
}

function save(name: string, content: BlobPart, type: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  // The browser reads the content after the click.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

const firstLineOf = (files: Files) =>
  files[0]?.[1].split("\n").find((line) => line.trim())?.trim() ?? "";

export class ProgramsDialog {
  readonly #title = element("h2");
  readonly #tools = element("div", "tools");
  readonly #rows = element("ul", "rows");
  readonly #said = element("p", "said");
  readonly #undo: HTMLButtonElement;
  readonly #status: HTMLElement;
  /** The program that was deleted last. */
  #deleted: Program | undefined;
  /** The button for deleting a program without a way back. */
  #forGood: HTMLButtonElement | undefined;

  constructor(private readonly page: Page) {
    const { dialog, words } = page;
    this.#undo = this.#button(words.undo, "", () => this.#restore());
    this.#status = element("div", "status", this.#said, this.#undo);
    this.#title.id = "programs-title";
    dialog.setAttribute("aria-labelledby", this.#title.id);
    const head = element("form", "", this.#title, element("button", "", words.close));
    head.method = "dialog";
    this.#said.setAttribute("role", "status");
    dialog.replaceChildren(head, this.#tools, this.#status, this.#rows);
  }

  #button(text: string, label: string, act: () => unknown): HTMLButtonElement {
    return button(text, label, () => this.#attempt(act));
  }

  /** Does something, and says so if the browser does not. */
  async #attempt(act: () => unknown): Promise<void> {
    try {
      await act();
    } catch (error) {
      const { isQuotaError, words } = this.page;
      this.#say(isQuotaError(error) ? words.noSpace : words.failed);
    }
  }

  async show(): Promise<void> {
    this.#deleted = undefined;
    this.page.dialog.showModal();
    await this.page.flush();
    await this.#attempt(() => this.#list());
  }

  #say(text: string): void {
    this.#said.textContent = text;
    this.#undo.hidden = !this.#deleted;
    this.#forGood?.remove();
  }

  /** Lists all programs. */
  async #list(message = ""): Promise<void> {
    const { page } = this;
    const { words } = page;
    const upload = element("input");
    upload.type = "file";
    upload.multiple = true;
    upload.addEventListener("change", () => void this.#attempt(() => this.#upload([...(upload.files ?? [])])));
    this.#title.textContent = words.ownPrograms;
    const openNew = () => {
      page.dialog.close();
      page.openNew();
    };
    this.#tools.replaceChildren(
      this.#button(words.newProgram, "", openNew),
      element("label", "upload", words.upload, upload),
      this.#button(words.downloadAll, "", () => this.#downloadAll()),
    );
    const programs = await page.list().catch((error) => {
      this.#rows.replaceChildren();
      throw error;
    });
    this.#rows.replaceChildren(...programs.map((program) => this.#createRow(program)));
    this.#say(message || (programs.length ? "" : words.noPrograms));
  }

  #createRow(program: Program): HTMLLIElement {
    const { page } = this;
    const { words } = page;
    const { name, files, runtime, changed } = program;
    const count = files.length > 1 ? words.countFiles(files.length) : "";
    const age = page.describeAge(new Date(changed));
    const facts = [page.titleOf(runtime), age, count, firstLineOf(files)];
    const open = this.#button(words.open, words.openProgram(name), () => {
      page.dialog.close();
      page.open(program);
    });
    open.classList.add("open");
    const more = element("details");
    const summary = element("summary", "", words.more);
    summary.setAttribute("aria-label", words.moreFor(name));
    const actions: [text: string, label: string, act: () => unknown][] = [
      [words.rename, words.renameProgram(name), () => this.#rename(program, row)],
      [words.duplicate, words.duplicateProgram(name), () => this.#duplicate(program)],
      [words.files, words.filesOfProgram(name), () => this.#listFiles(program)],
      [words.versions, words.versionsOfProgram(name), () => this.#listVersions(program)],
      [words.download, words.downloadProgram(name), () => this.#download(program)],
      [words.delete, words.deleteProgram(name), () => this.#delete(program)],
    ];
    more.append(summary, ...actions.map(([text, label, act]) => this.#button(text, label, act)));
    const title = element("p", "title", name);
    if (page.current().program === program.id) title.append(element("span", "shown", ` ${words.isShown}`));
    const row = element("li", "", title, element("p", "more", facts.filter(Boolean).join(" · ")), open, more);
    return row;
  }

  /** Stores a changed program, and tells the page. */
  async #store(program: Program): Promise<Program | undefined> {
    const result = await this.page.store.save(program);
    this.page.onStored(program.id);
    if (result.kind === "saved") return result.program;
    await this.#list(this.page.words.changedJustNow);
    return undefined;
  }

  /** Stores new programs, under names that no other has. */
  async #add(programs: PlainProgram[]): Promise<string[]> {
    const { page } = this;
    const names = (await page.list()).map(({ name }) => name);
    const added: string[] = [];
    for (const { name: wanted, runtime, files } of programs) {
      const name = page.freeName(wanted, names);
      names.push(name);
      added.push(name);
      const id = page.newId();
      await page.store.save({ id, name, runtime, files, changed: 0, revision: 0 });
      page.onStored(id);
    }
    return added;
  }

  #rename(program: Program, row: HTMLElement): void {
    const { words } = this.page;
    const input = element("input");
    input.value = program.name;
    input.setAttribute("aria-label", words.newNameOf(program.name));
    const cancel = this.#button(words.cancel, "", async () => {
      await this.#list();
      this.#focusRow(program.name);
    });
    const form = element("form", "rename", input, element("button", "", words.rename), cancel);
    const rename = async () => {
      const name = input.value.trim();
      if (name && name !== program.name) {
        const others = (await this.page.list()).filter(({ id }) => id !== program.id);
        if (others.some((other) => other.name === name)) return this.#say(words.nameIsTaken(name));
        if (!(await this.#store({ ...program, name }))) return;
      }
      await this.#list();
      this.#focusRow(name || program.name);
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#attempt(rename);
    });
    row.replaceChildren(form);
    input.select();
    input.focus();
  }

  #focusRow(name: string): void {
    const all = [...this.#rows.querySelectorAll<HTMLElement>(".open")];
    const label = this.page.words.openProgram(name);
    all.find((button) => button.getAttribute("aria-label") === label)?.focus();
  }

  async #duplicate(program: Program): Promise<void> {
    const [name = ""] = await this.#add([program]);
    await this.#list(this.page.words.isCopy(name));
    this.#focusRow(name);
  }

  async #delete(program: Program): Promise<void> {
    try {
      await this.page.store.setDeleted(program.id, true);
    } catch (error) {
      if (!this.page.isQuotaError(error)) throw error;
      return this.#offerDeletion(program);
    }
    this.page.onDeleted(program.id);
    this.#deleted = program;
    await this.#list(this.page.words.isDeleted(program.name));
    this.#undo.focus();
  }

  /** Offers to delete a program at once, because the browser has no space to keep it for Undo. */
  #offerDeletion({ id, name }: Program): void {
    const { words } = this.page;
    this.#say(words.noSpaceForUndo(name));
    this.#forGood = this.#button(words.deleteForGood, words.deleteProgramForGood(name), async () => {
      await this.page.store.remove(id);
      this.page.onDeleted(id);
      await this.#list(words.isDeletedForGood(name));
    });
    this.#status.append(this.#forGood);
    this.#forGood.focus();
  }

  async #restore(): Promise<void> {
    const program = this.#deleted;
    if (!program) return;
    const { store } = this.page;
    await store.setDeleted(program.id, false);
    const stored = await store.get(program.id);
    // Edits that could not be stored before the program was deleted are only here.
    if (JSON.stringify(stored?.files) !== JSON.stringify(program.files)) {
      await store.save({ ...program, revision: stored?.revision ?? 0 });
    }
    this.page.onStored(program.id);
    this.#deleted = undefined;
    await this.#list(this.page.words.isBack(program.name));
    this.#focusRow(program.name);
  }

  #download(program: Program): void {
    const [only] = program.files;
    const runtime = this.page.runtimes.find(({ name }) => name === program.runtime);
    if (program.files.length === 1 && only) {
      return save(downloadNameOf(program, runtime), only[1], "text/plain");
    }
    save(`${program.name}.zip`, pack([program], this.page.runtimes), "application/zip");
  }

  async #downloadAll(): Promise<void> {
    const programs = await this.page.list();
    if (!programs.length) return;
    save(ARCHIVE, pack(programs, this.page.runtimes), "application/zip");
    this.#say(this.page.words.programsInFile(programs.length, ARCHIVE));
  }

  async #upload(files: File[]): Promise<void> {
    const skipped: string[] = [];
    const { words } = this.page;
    try {
      const size = files.reduce((sum, file) => sum + file.size, 0);
      if (size > MAX_BYTES) throw new UploadError((words) => words.tooLargeUpload);
      const read = async (file: File) => {
        const bytes = new Uint8Array(await file.arrayBuffer());
        return { name: file.name, bytes };
      };
      const uploads = await Promise.all(files.map(read));
      const { page } = this;
      const programs = unpack(uploads, page.runtimes, page.current().runtime, (path) =>
        skipped.push(path),
      );
      const added = await this.#add(programs);
      const said = added.length > 3 ? words.programsWereAdded(added.length) : words.wasAdded(added);
      const left = () => words.leftOut(skipped.slice(0, 3), Math.max(0, skipped.length - 3));
      const parts = [added.length > 0 ? said : words.nothingAdded, skipped.length > 0 ? left() : ""];
      await this.#list(parts.join(" "));
    } catch (error) {
      const reason = error instanceof UploadError ? error.describe(words) : words.browserSays(String(error));
      await this.#list(words.nothingMoreAdded(reason));
    }
  }

  /** Shows a view of one program, with a way back to the list. */
  #showView(title: string, rows: HTMLElement[], message: string, ...tools: HTMLElement[]): void {
    this.#deleted = undefined;
    this.#title.textContent = title;
    const back = this.#button(this.page.words.back, this.page.words.backToPrograms, () => this.#list());
    this.#tools.replaceChildren(back, ...tools);
    this.#rows.replaceChildren(...rows);
    this.#say(message);
    back.focus();
  }

  async #listVersions(program: Program): Promise<void> {
    const versions = await this.page.store.versions(program.id);
    const rows = versions.map((version) => this.#createVersionRow(program, version));
    const { words } = this.page;
    this.#showView(words.versionsTitle(program.name), rows, versions.length ? "" : words.noVersions);
  }

  #createVersionRow(program: Program, { at, runtime, files }: Version): HTMLLIElement {
    const { page } = this;
    const { words } = page;
    const date = new Date(at);
    const age = this.page.describeAge(date);
    const text = element("pre", "", files.map(([, text]) => text).join("\n\n"));
    const details = element("details", "preview", element("summary", "", words.show), text);
    const restore = this.#button(words.restore, words.restoreVersion(age), async () => {
      const stored = await this.page.store.get(program.id);
      if (!stored) return;
      await this.page.store.save({ ...stored, runtime, files }, { isVersionWanted: true });
      this.page.onStored(program.id);
      const now = await this.page.store.get(program.id);
      this.page.dialog.close();
      if (now) this.page.open(now);
    });
    const lines = files.reduce((sum, [, text]) => sum + text.split("\n").length, 0);
    const facts = `${page.formatTime(date)} · ${words.countLines(lines)}`;
    return element("li", "", element("p", "title", age), element("p", "more", facts), restore, details);
  }

  #listFiles(program: Program, message = ""): void {
    const { page } = this;
    const { words } = page;
    const main = page.runtimes.find(({ name }) => name === program.runtime)?.file ?? "main";
    const store = async (files: Files, said: string) => {
      // A program of several files names each.
      const named = files.length > 1 ? files.map(([name, text]) => [name || main, text]) : files;
      const stored = await this.#store({ ...program, files: named as Files });
      if (!stored) return;
      this.#listFiles(stored, said);
    };
    const names = program.files.map(([name]) => name || main);
    const rows = program.files.map(([, text], index) => {
      const name = names[index] as string;
      const input = element("input");
      input.value = name;
      input.setAttribute("aria-label", words.nameOfFile(name));
      const form = element("form", "rename", input, element("button", "", words.rename));
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        const wanted = input.value.trim();
        const problem = this.#fileProblem(wanted, names.filter((_, at) => at !== index));
        if (problem) return this.#say(problem);
        const renamed = program.files.map((file, at) =>
          at === index ? [wanted, file[1]] : [names[at] as string, file[1]],
        );
        void this.#attempt(() => store(renamed as Files, words.fileIsNow(wanted)));
      });
      const others = program.files.filter((_, at) => at !== index);
      const remove = this.#button(words.delete, words.deleteFile(name), () =>
        store(others, words.fileIsDeleted(name)),
      );
      remove.disabled = program.files.length === 1;
      const count = words.countLines(text.split("\n").length);
      return element("li", "", form, element("p", "more", index === 0 ? words.runs(count) : count), remove);
    });
    const input = element("input");
    input.setAttribute("aria-label", words.nameOfNewFile);
    input.placeholder = words.newFileHint;
    const add = element("form", "rename", input, element("button", "", words.addFile));
    add.addEventListener("submit", (event) => {
      event.preventDefault();
      const wanted = input.value.trim();
      const problem = this.#fileProblem(wanted, names);
      if (problem) return this.#say(problem);
      void this.#attempt(() => store([...program.files, [wanted, ""]], words.fileIsAdded(wanted)));
    });
    this.#showView(words.filesTitle(program.name), rows, message, add);
  }

  /** Why a file cannot have a name, in words; empty if it can. */
  #fileProblem(name: string, others: string[]): string {
    const { isFileName, words } = this.page;
    if (!name) return words.fileNeedsName;
    if (!isFileName(name)) return words.noFileName(name);
    return others.includes(name) ? words.fileNameIsTaken(name) : "";
  }
}
