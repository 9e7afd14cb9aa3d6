/**
 * The programs that the user has written. They are in the browser's IndexedDB, with earlier
 * versions of each, and all tabs share them.
 */

import { areSame, isDrasticChange, type Files } from "./files.js";

/** A program that is kept. */
export interface Program {
  /** Identifies the program; a random text. */
  id: string;
  /** The name for people. */
  name: string;
  runtime: string;
  files: Files;
  /** What Reset restores, if the program began as an example or came by a link. */
  original?: Files;
  /** When it was changed last, in milliseconds since 1970. */
  changed: number;
  /** How often it was stored. A tab that knows an older revision has missed a change. */
  revision: number;
  /** When the user deleted it. It can be restored until it is purged. */
  deleted?: number;
}

/** What a program was at some time. */
export interface Version {
  /** The id of the program. */
  program: string;
  /** When it was run, or replaced by a newer one, in milliseconds since 1970. */
  at: number;
  runtime: string;
  files: Files;
}

/** The result of storing a program. */
export type Saved =
  | { kind: "saved"; program: Program }
  /** Another tab has stored something else meanwhile, and nothing was stored now. */
  | { kind: "conflict"; stored: Program };

/** Further properties of a change that is stored. */
export interface SaveOptions {
  /** Whether what was stored before becomes a version in any case. */
  isVersionWanted?: boolean;
  /** The files that become the version, if they are not those that were stored last. */
  before?: Files;
}

const DATABASE = "livecode";
/** The time in which small changes make no further version, in milliseconds. */
const VERSION_INTERVAL_MS = 60_000;
/** The number of versions of a program that are kept. */
const MAX_VERSIONS = 100;
/** How long a deleted program can be restored, in milliseconds: 30 days. */
const DELETED_KEPT_MS = 30 * 24 * 3600 * 1000;

/** The time in which the browser must answer for the page to wait, in milliseconds. */
const ANSWER_TIMEOUT_MS = 3000;

/** The error of a browser that does not answer in time. It may answer later. */
export class NoAnswerError extends Error {}

/** A promise that is rejected after some time. Nobody need await it. */
function rejectAfter(ms: number): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  setTimeout(() => reject(new NoAnswerError()), ms);
  return promise;
}

/** The browser's answer. The promise is rejected if there is none in time. */
export const inTime = <T>(answer: Promise<T>): Promise<T> =>
  Promise.race([answer, rejectAfter(ANSWER_TIMEOUT_MS)]);

/** The channel between the tabs. A browser that keeps nothing for a page may refuse it. */
function openChannel(): BroadcastChannel | undefined {
  try {
    return new BroadcastChannel("livecode-programs");
  } catch {
    return undefined;
  }
}

/** The error of a browser that gives this page no more space. */
export const isQuotaError = (error: unknown) =>
  (error as DOMException | null)?.name === "QuotaExceededError";

function resultOf<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** Settles when a transaction is complete: what it has written is kept then. */
function completed(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error("the transaction failed"));
  });
}

/** All versions of a program, in the index of the store. */
const versionsOf = (id: string) => IDBKeyRange.bound([id, 0], [id, Infinity]);

export class ProgramStore {
  #database: Promise<IDBDatabase> | undefined;
  /** Rejected if the database is not open in time. */
  #openTimeout: Promise<never> | undefined;
  readonly #channel = openChannel();

  /** Settles when the browser has opened the database, however long that takes. */
  async opened(): Promise<void> {
    await this.#database;
  }

  /** Calls `callback` with the id of a program that another tab has stored or deleted. */
  onChange(callback: (id: string) => void): void {
    if (this.#channel) this.#channel.onmessage = ({ data }) => callback(String(data));
  }

  /** The programs that are not deleted, the last changed first. */
  async list(): Promise<Program[]> {
    const { programs } = await this.#begin("readonly");
    const all = (await resultOf(programs.getAll())) as Program[];
    return all
      .filter(({ deleted }) => deleted === undefined)
      .sort((one, other) => other.changed - one.changed);
  }

  async get(id: string): Promise<Program | undefined> {
    const { programs } = await this.#begin("readonly");
    return (await resultOf(programs.get(id))) as Program | undefined;
  }

  /**
   * Stores a program, whose `revision` is the last one that the caller knows: 0 for a new one. What
   * was stored before becomes a version, if some time has passed since the last version, or if much
   * of it is gone.
   */
  async save(program: Program, { isVersionWanted, before }: SaveOptions = {}): Promise<Saved> {
    const { transaction, programs, versions } = await this.#begin("readwrite");
    const done = completed(transaction);
    // The promise is awaited below, unless a request fails before.
    done.catch(() => {});
    const stored = (await resultOf(programs.get(program.id))) as Program | undefined;
    if (stored && stored.revision !== program.revision) {
      await done;
      return { kind: "conflict", stored };
    }
    // A user who edits a program that was deleted in another tab wants to have it.
    const { deleted: _, ...rest } = program;
    const saved = { ...rest, changed: Date.now(), revision: program.revision + 1 };
    if (stored) {
      const keys = (await resultOf(versions.getAllKeys(versionsOf(program.id)))) as [string, number][];
      const last = keys.at(-1)?.[1] ?? 0;
      const isDue = saved.changed - last >= VERSION_INTERVAL_MS;
      const isDrastic = before !== undefined || isDrasticChange(stored.files, program.files);
      if (isVersionWanted || isDue || isDrastic) {
        await this.#putVersion(versions, keys, { ...stored, files: before ?? stored.files });
      }
    }
    programs.put(saved);
    await done;
    this.#channel?.postMessage(program.id);
    return { kind: "saved", program: saved };
  }

  /** Makes a version of a program as it is stored, e.g. because it is run. */
  async addVersion(id: string): Promise<void> {
    const { transaction, programs, versions } = await this.#begin("readwrite");
    const done = completed(transaction);
    done.catch(() => {});
    const stored = (await resultOf(programs.get(id))) as Program | undefined;
    if (stored) {
      const keys = (await resultOf(versions.getAllKeys(versionsOf(id)))) as [string, number][];
      await this.#putVersion(versions, keys, stored);
    }
    await done;
  }

  /** Makes a version after those with these keys, unless the last one is the same. */
  async #putVersion(
    versions: IDBObjectStore,
    keys: [string, number][],
    { id, runtime, files }: Program,
  ): Promise<void> {
    const key = keys.at(-1);
    const last = key && ((await resultOf(versions.get(key))) as Version | undefined);
    if (last && areSame(last.files, files)) return;
    // The key is the time. Two versions of one millisecond must not become one.
    const at = Math.max(Date.now(), (key?.[1] ?? 0) + 1);
    versions.put({ program: id, at, runtime, files } satisfies Version);
    for (const key of keys.slice(0, Math.max(0, keys.length + 1 - MAX_VERSIONS))) {
      versions.delete(key);
    }
  }

  /** The earlier versions of a program, the newest first. */
  async versions(id: string): Promise<Version[]> {
    const { versions } = await this.#begin("readonly");
    const all = (await resultOf(versions.getAll(versionsOf(id)))) as Version[];
    return all.reverse();
  }

  /** Deletes a program, or restores a deleted one. */
  async setDeleted(id: string, isDeleted: boolean): Promise<void> {
    const { transaction, programs } = await this.#begin("readwrite");
    const done = completed(transaction);
    done.catch(() => {});
    const stored = (await resultOf(programs.get(id))) as Program | undefined;
    if (stored) {
      const { deleted: _, ...rest } = stored;
      programs.put(isDeleted ? { ...rest, deleted: Date.now() } : rest);
    }
    await done;
    this.#channel?.postMessage(id);
  }

  /** Removes a program with its versions, for which no space is needed. */
  async remove(id: string): Promise<void> {
    const { transaction, programs, versions } = await this.#begin("readwrite");
    programs.delete(id);
    versions.delete(versionsOf(id));
    await completed(transaction);
    this.#channel?.postMessage(id);
  }

  /** Removes the programs that were deleted long ago, with their versions. */
  async purge(): Promise<void> {
    const { transaction, programs, versions } = await this.#begin("readwrite");
    const done = completed(transaction);
    done.catch(() => {});
    for (const { id, deleted } of (await resultOf(programs.getAll())) as Program[]) {
      if (deleted === undefined || Date.now() - deleted < DELETED_KEPT_MS) continue;
      programs.delete(id);
      versions.delete(versionsOf(id));
    }
    await done;
  }

  /** Removes everything. */
  async clear(): Promise<void> {
    const { transaction, programs, versions } = await this.#begin("readwrite");
    programs.clear();
    versions.clear();
    await completed(transaction);
  }

  async #begin(mode: IDBTransactionMode) {
    const database = await this.#connect();
    let transaction: IDBTransaction;
    try {
      transaction = database.transaction(["programs", "versions"], mode);
    } catch {
      // The browser has closed the database, e.g. because the user has cleared the site's data.
      this.#database = undefined;
      const reopened = await this.#connect();
      transaction = reopened.transaction(["programs", "versions"], mode);
    }
    const [programs, versions] = ["programs", "versions"].map((name) =>
      transaction.objectStore(name),
    ) as [IDBObjectStore, IDBObjectStore];
    return { transaction, programs, versions };
  }

  /** The open database. A browser that does not answer is waited for only once. */
  #connect(): Promise<IDBDatabase> {
    if (!this.#database) {
      const database = (this.#database = this.#open());
      this.#openTimeout = rejectAfter(ANSWER_TIMEOUT_MS);
      // The next call tries again.
      database.catch(() => {
        if (this.#database === database) this.#database = undefined;
      });
    }
    return Promise.race([this.#database, this.#openTimeout as Promise<never>]);
  }

  async #open(): Promise<IDBDatabase> {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("programs", { keyPath: "id" });
      request.result.createObjectStore("versions", { keyPath: ["program", "at"] });
    };
    const database = await resultOf(request);
    // A later version of this page may change the database in another tab.
    database.onversionchange = () => database.close();
    return database;
  }
}
