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
import type { Runtime } from "../runtimes.js";

/** What the dialog needs of the page. */
export interface Page {
  dialog: HTMLDialogElement;
  store: ProgramStore;
  runtimes: Runtime[];
  titleOf(runtime: string): string;
  describeAge(date: Date): string;
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

const NO_SPACE = "There is no space left for that in this browser. Delete programs, or download them.";
const FAILED = "The browser did not do that. It keeps nothing for this page, as in a private window.";

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
  readonly #undo = this.#button("Undo", "", () => this.#restore());
  readonly #status = element("div", "status", this.#said, this.#undo);
  /** The program that was deleted last. */
  #deleted: Program | undefined;
  /** The button for deleting a program without a way back. */
  #forGood: HTMLButtonElement | undefined;

  constructor(private readonly page: Page) {
    const { dialog } = page;
    this.#title.id = "programs-title";
    dialog.setAttribute("aria-labelledby", this.#title.id);
    const head = element("form", "", this.#title, element("button", "", "Close"));
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
      this.#say(this.page.isQuotaError(error) ? NO_SPACE : FAILED);
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
    const upload = element("input");
    upload.type = "file";
    upload.multiple = true;
    upload.addEventListener("change", () => void this.#attempt(() => this.#upload([...(upload.files ?? [])])));
    this.#title.textContent = "Your programs";
    const openNew = () => {
      page.dialog.close();
      page.openNew();
    };
    this.#tools.replaceChildren(
      this.#button("New", "", openNew),
      element("label", "upload", "Upload", upload),
      this.#button("Download all", "", () => this.#downloadAll()),
    );
    const programs = await page.list().catch((error) => {
      this.#rows.replaceChildren();
      throw error;
    });
    this.#rows.replaceChildren(...programs.map((program) => this.#createRow(program)));
    const none = "You have no programs yet. Whatever you write becomes one.";
    this.#say(message || (programs.length ? "" : none));
  }

  #createRow(program: Program): HTMLLIElement {
    const { page } = this;
    const { name, files, runtime, changed } = program;
    const count = files.length > 1 ? `${files.length} files` : "";
    const age = page.describeAge(new Date(changed));
    const facts = [page.titleOf(runtime), age, count, firstLineOf(files)];
    const open = this.#button("Open", `Open ${name}`, () => {
      page.dialog.close();
      page.open(program);
    });
    open.classList.add("open");
    const more = element("details");
    const summary = element("summary", "", "More");
    summary.setAttribute("aria-label", `More for ${name}`);
    const actions: [string, () => unknown][] = [
      ["Rename", () => this.#rename(program, row)],
      ["Duplicate", () => this.#duplicate(program)],
      ["Files", () => this.#listFiles(program)],
      ["Versions", () => this.#listVersions(program)],
      ["Download", () => this.#download(program)],
      ["Delete", () => this.#delete(program)],
    ];
    more.append(summary, ...actions.map(([text, act]) => this.#button(text, `${text} ${name}`, act)));
    const title = element("p", "title", name);
    if (page.current().program === program.id) title.append(element("span", "shown", " (shown)"));
    const row = element("li", "", title, element("p", "more", facts.filter(Boolean).join(" · ")), open, more);
    return row;
  }

  /** Stores a changed program, and tells the page. */
  async #store(program: Program): Promise<Program | undefined> {
    const result = await this.page.store.save(program);
    this.page.onStored(program.id);
    if (result.kind === "saved") return result.program;
    await this.#list("The program was changed in another tab just now. Try again.");
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
    const input = element("input");
    input.value = program.name;
    input.setAttribute("aria-label", `New name of ${program.name}`);
    const cancel = this.#button("Cancel", "", async () => {
      await this.#list();
      this.#focusRow(program.name);
    });
    const form = element("form", "rename", input, element("button", "", "Rename"), cancel);
    const rename = async () => {
      const name = input.value.trim();
      if (name && name !== program.name) {
        const others = (await this.page.list()).filter(({ id }) => id !== program.id);
        if (others.some((other) => other.name === name)) return this.#say(`Another program is “${name}”.`);
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
    all.find((button) => button.getAttribute("aria-label") === `Open ${name}`)?.focus();
  }

  async #duplicate(program: Program): Promise<void> {
    const [name = ""] = await this.#add([program]);
    await this.#list(`“${name}” is a copy.`);
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
    await this.#list(`“${program.name}” is deleted.`);
    this.#undo.focus();
  }

  /** Offers to delete a program at once, because the browser has no space to keep it for Undo. */
  #offerDeletion({ id, name }: Program): void {
    this.#say(`There is no space left to keep “${name}” for Undo.`);
    this.#forGood = this.#button("Delete for good", `Delete ${name} for good`, async () => {
      await this.page.store.remove(id);
      this.page.onDeleted(id);
      await this.#list(`“${name}” is deleted for good.`);
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
    await this.#list(`“${program.name}” is back.`);
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
    save("programs.zip", pack(programs, this.page.runtimes), "application/zip");
    this.#say(`${programs.length} programs are in the file programs.zip.`);
  }

  async #upload(files: File[]): Promise<void> {
    const skipped: string[] = [];
    try {
      const size = files.reduce((sum, file) => sum + file.size, 0);
      if (size > MAX_BYTES) throw new UploadError("Only 10 MB in all can be uploaded at once.");
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
      const names = added.map((name) => `“${name}”`).join(", ");
      const said = added.length > 3 ? `${added.length} programs were added.` : `${names} was added.`;
      const more = skipped.length > 3 ? ` and ${skipped.length - 3} more` : "";
      const left = `Left out, because it is not text: ${skipped.slice(0, 3).join(", ")}${more}.`;
      const parts = [added.length > 0 ? said : "Nothing was added.", skipped.length > 0 ? left : ""];
      await this.#list(parts.join(" "));
    } catch (error) {
      const reason = error instanceof UploadError ? error.message : `The browser says: ${String(error)}`;
      await this.#list(`Nothing more was added. ${reason}`);
    }
  }

  /** Shows a view of one program, with a way back to the list. */
  #showView(title: string, rows: HTMLElement[], message: string, ...tools: HTMLElement[]): void {
    this.#deleted = undefined;
    this.#title.textContent = title;
    const back = this.#button("Back", "Back to your programs", () => this.#list());
    this.#tools.replaceChildren(back, ...tools);
    this.#rows.replaceChildren(...rows);
    this.#say(message);
    back.focus();
  }

  async #listVersions(program: Program): Promise<void> {
    const versions = await this.page.store.versions(program.id);
    const rows = versions.map((version) => this.#createVersionRow(program, version));
    const none = "There is no earlier version yet. One is kept for each minute of changes, and for each run.";
    this.#showView(`Versions of ${program.name}`, rows, versions.length ? "" : none);
  }

  #createVersionRow(program: Program, { at, runtime, files }: Version): HTMLLIElement {
    const date = new Date(at);
    const age = this.page.describeAge(date);
    const text = element("pre", "", files.map(([, text]) => text).join("\n\n"));
    const details = element("details", "preview", element("summary", "", "Show"), text);
    const restore = this.#button("Restore", `Restore the version of ${age}`, async () => {
      const stored = await this.page.store.get(program.id);
      if (!stored) return;
      await this.page.store.save({ ...stored, runtime, files }, { isVersionWanted: true });
      this.page.onStored(program.id);
      const now = await this.page.store.get(program.id);
      this.page.dialog.close();
      if (now) this.page.open(now);
    });
    const lines = files.reduce((sum, [, text]) => sum + text.split("\n").length, 0);
    const facts = `${date.toLocaleString()} · ${lines} lines`;
    return element("li", "", element("p", "title", age), element("p", "more", facts), restore, details);
  }

  #listFiles(program: Program, message = ""): void {
    const { page } = this;
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
      input.setAttribute("aria-label", `Name of the file ${name}`);
      const form = element("form", "rename", input, element("button", "", "Rename"));
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        const wanted = input.value.trim();
        const problem = this.#fileProblem(wanted, names.filter((_, at) => at !== index));
        if (problem) return this.#say(problem);
        const renamed = program.files.map((file, at) =>
          at === index ? [wanted, file[1]] : [names[at] as string, file[1]],
        );
        void this.#attempt(() => store(renamed as Files, `The file is “${wanted}” now.`));
      });
      const others = program.files.filter((_, at) => at !== index);
      const remove = this.#button("Delete", `Delete the file ${name}`, () =>
        store(others, `“${name}” is deleted. Versions still has it.`),
      );
      remove.disabled = program.files.length === 1;
      const lines = `${text.split("\n").length} lines${index === 0 ? ", runs" : ""}`;
      return element("li", "", form, element("p", "more", lines), remove);
    });
    const input = element("input");
    input.setAttribute("aria-label", "Name of a new file");
    input.placeholder = "data.txt";
    const add = element("form", "rename", input, element("button", "", "Add a file"));
    add.addEventListener("submit", (event) => {
      event.preventDefault();
      const wanted = input.value.trim();
      const problem = this.#fileProblem(wanted, names);
      if (problem) return this.#say(problem);
      void this.#attempt(() => store([...program.files, [wanted, ""]], `“${wanted}” is added.`));
    });
    this.#showView(`Files of ${program.name}`, rows, message, add);
  }

  /** Why a file cannot have a name, in words; empty if it can. */
  #fileProblem(name: string, others: string[]): string {
    if (!name) return "A file needs a name.";
    if (!this.page.isFileName(name)) return `“${name}” cannot be the name of a file.`;
    return others.includes(name) ? `Another file is “${name}”.` : "";
  }
}
