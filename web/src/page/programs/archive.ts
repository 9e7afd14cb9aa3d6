/**
 * Programs as files: for download, and from files that the user chooses. This part of the page is
 * loaded when it is needed.
 */

import { strFromU8, strToU8, unzipSync, zipSync } from "fflate";
import type { Words } from "../../words/words.js";
import type { Files } from "./files.js";
import type { Program } from "./store.js";

/** A program without what the browser adds to it. */
export type PlainProgram = Pick<Program, "name" | "runtime" | "files">;

/** What is known of a runtime. */
export interface RuntimeFiles {
  name: string;
  /** The file that a program is saved as, e.g. `main.py`. */
  file: string;
  /** Extensions of its source files, without the dot. */
  extensions: string[];
}

/** The file of an archive that tells the runtimes and the order of the files. */
const INDEX = "livecode.json";
/** The size of all files of an upload, in bytes, and their number. */
export const MAX_BYTES = 10_000_000;
const MAX_COUNT = 1000;
/** Files that systems add to archives, and that no user knows of. */
const HIDDEN = /^__MACOSX\/|(^|\/)(\.DS_Store|Thumbs\.db|desktop\.ini)$/;

/** Why a file cannot become a program. */
export class UploadError extends Error {
  constructor(
    /** Tells the reason in the words of a language. */
    readonly describe: (words: Words) => string,
  ) {
    super("a file cannot become a program");
  }
}

/** A name that every system allows for a file. */
export const fileNameOf = (name: string) =>
  name.replace(/[\\/:*?"<>|\u0000-\u001f]/g, "_").replace(/^\.+|[. ]+$/g, "_") || "program";

/** A name that a file of a program may have: no part of it leads out of the program's folder. */
export const pathOf = (name: string) =>
  name
    .split("/")
    .map((part) => part.replace(/[\\\u0000-\u001f]/g, "_").replace(/^\.{0,2}$/, "_"))
    .join("/");

/** Files of which each has a name that it may have, and that no other has. */
function withSafeNames(files: Files): Files {
  const names = new Set<string>();
  return files.map(([name, text], index) => {
    // The first file needs no name.
    const wanted = name === "" && index === 0 ? "" : pathOf(name);
    const free = freePath(wanted, (path) => names.has(path));
    names.add(free);
    return [free, text];
  });
}

const extensionOf = (name: string) => /\.([^./]+)$/.exec(name)?.[1]?.toLowerCase() ?? "";

/** The name of the file in which a program of one file is downloaded. */
export function downloadNameOf({ name, files }: PlainProgram, runtime: RuntimeFiles | undefined): string {
  const own = files[0]?.[0] || runtime?.file || "program.txt";
  const extension = extensionOf(own);
  const stem = fileNameOf(name);
  return extensionOf(stem) === extension || !extension ? stem : `${stem}.${extension}`;
}

/** All programs as a ZIP file: a file for each program of one file, and a folder for each other. */
export function pack(programs: PlainProgram[], runtimes: RuntimeFiles[]): Uint8Array<ArrayBuffer> {
  const archive: Record<string, Uint8Array> = {};
  const index = programs.map((program) => {
    const runtime = runtimes.find(({ name }) => name === program.runtime);
    const isSingle = program.files.length === 1;
    const wanted = isSingle ? downloadNameOf(program, runtime) : fileNameOf(program.name);
    const top = freePath(wanted, (path) => path === INDEX || isTaken(archive, path));
    const files = program.files.map(([name, text]) => {
      // The tool that unpacks the archive may not look where its paths lead.
      const inside = `${top}/${pathOf(name || runtime?.file || "main")}`;
      const path = isSingle ? top : freePath(inside, (path) => isTaken(archive, path));
      archive[path] = strToU8(text);
      return { name, path };
    });
    return { name: program.name, runtime: program.runtime, files };
  });
  archive[INDEX] = strToU8(JSON.stringify({ programs: index }, null, 1));
  return zipSync(archive, { level: 6 }) as Uint8Array<ArrayBuffer>;
}

const isTaken = (archive: Record<string, Uint8Array>, path: string) =>
  Object.keys(archive).some((known) => known === path || known.startsWith(`${path}/`));

function freePath(path: string, isUsed: (path: string) => boolean): string {
  const [, stem = path, extension = ""] = /^(.*?)(\.[^./]*)?$/.exec(path) ?? [];
  for (let number = 2, free = path; ; number++) {
    if (!isUsed(free)) return free;
    free = `${stem} ${number}${extension}`;
  }
}

function textOf(name: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new UploadError((words) => words.isNotText(name));
  }
}

/** The runtime of a file: the current one if that has such files, or the first that has. */
function runtimeOf(name: string, runtimes: RuntimeFiles[], current: string): string {
  const extension = extensionOf(name);
  const fitting = runtimes.filter(({ extensions }) => extensions.includes(extension));
  return (fitting.find(({ name }) => name === current) ?? fitting[0])?.name ?? current;
}

/**
 * The programs in the files that the user has chosen. Files in an archive that are not text are left
 * out, and `onSkipped` is called with their paths. Throws an {@link UploadError}.
 */
export function unpack(
  uploads: { name: string; bytes: Uint8Array }[],
  runtimes: RuntimeFiles[],
  current: string,
  onSkipped: (path: string) => void = () => {},
): PlainProgram[] {
  let [size, count] = [0, 0];
  const take = (name: string, bytes: number) => {
    size += bytes;
    if (++count > MAX_COUNT || size > MAX_BYTES) {
      throw new UploadError((words) => words.isTooLarge(name));
    }
  };
  return uploads.flatMap(({ name, bytes }) => {
    const isArchive = bytes[0] === 0x50 && bytes[1] === 0x4b;
    if (isArchive) {
      const archive = openArchive(name, bytes, (size) => take(name, size));
      return programsIn(archive, { name, runtimes, current, onSkipped });
    }
    take(name, bytes.length);
    const runtime = runtimeOf(name, runtimes, current);
    return [{ name: stemOf(name), runtime, files: [["", textOf(name, bytes)]] satisfies Files }];
  });
}

const stemOf = (name: string) => name.replace(/\.[^.]*$/, "") || name;

/** The contents of an archive by their paths. `take` is called with the size of each before. */
function openArchive(
  name: string,
  bytes: Uint8Array,
  take: (size: number) => void,
): Record<string, Uint8Array> {
  try {
    return unzipSync(bytes, {
      filter: (file) => {
        if (file.name.endsWith("/") || HIDDEN.test(file.name)) return false;
        // Of a file that is not compressed, `size` bytes are copied, whatever the original size is.
        take(Math.max(file.size, file.originalSize));
        return true;
      },
    });
  } catch (error) {
    if (error instanceof UploadError) throw error;
    throw new UploadError((words) => words.isNoArchive(name));
  }
}

interface ArchiveOptions {
  name: string;
  runtimes: RuntimeFiles[];
  current: string;
  onSkipped: (path: string) => void;
}

function programsIn(
  archive: Record<string, Uint8Array>,
  { name, runtimes, current, onSkipped }: ArchiveOptions,
): PlainProgram[] {
  const read = (path: string) => {
    const content = Object.hasOwn(archive, path) ? archive[path] : undefined;
    if (!content) throw new UploadError((words) => words.lacksFile(name, path));
    return textOf(path, content);
  };
  if (Object.hasOwn(archive, INDEX)) return parseIndex(name, strFromU8(archive[INDEX]!), read);
  const folders = new Map<string, Files>();
  for (const path of Object.keys(archive)) {
    const [top = path, ...rest] = path.split("/");
    const files = folders.get(top) ?? [];
    try {
      files.push([rest.join("/"), read(path)]);
      folders.set(top, files);
    } catch {
      onSkipped(path);
    }
  }
  return [...folders].map(([top, files]) => {
    // The file that runs is first: it has a usual name, or else the first one.
    const usual = files.findIndex(([file]) => runtimes.some((runtime) => runtime.file === file));
    const [main] = files.splice(Math.max(0, usual), 1) as Files;
    const first = main as [string, string];
    const runtime = runtimeOf(first[0] || top, runtimes, current);
    return {
      name: (first[0] ? top : stemOf(top)) || "program",
      runtime,
      files: withSafeNames([first, ...files]),
    };
  });
}

/** The programs that {@link pack} has described. */
function parseIndex(archive: string, text: string, read: (path: string) => string): PlainProgram[] {
  try {
    const { programs } = JSON.parse(text) as {
      programs: { name: string; runtime: string; files: { name: string; path: string }[] }[];
    };
    return programs.map(({ name, runtime, files }) => {
      if (files.length === 0) throw new Error("a program has no files");
      const texts = files.map(({ name, path }) => [String(name), read(path)] as [string, string]);
      return { name: String(name), runtime: String(runtime), files: withSafeNames(texts) };
    });
  } catch (error) {
    if (error instanceof UploadError) throw error;
    throw new UploadError((words) => words.isDamagedIn(INDEX, archive));
  }
}
