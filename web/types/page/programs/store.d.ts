/**
 * The programs that the user has written. They are in the browser's IndexedDB, with earlier
 * versions of each, and all tabs share them.
 */
import { type Files } from "./files.js";
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
export type Saved = {
    kind: "saved";
    program: Program;
}
/** Another tab has stored something else meanwhile, and nothing was stored now. */
 | {
    kind: "conflict";
    stored: Program;
};
/** Further properties of a change that is stored. */
export interface SaveOptions {
    /** Whether what was stored before becomes a version in any case. */
    isVersionWanted?: boolean;
    /** The files that become the version, if they are not those that were stored last. */
    before?: Files;
}
/** The error of a browser that does not answer in time. It may answer later. */
export declare class NoAnswerError extends Error {
}
/** The browser's answer. The promise is rejected if there is none in time. */
export declare const inTime: <T>(answer: Promise<T>) => Promise<T>;
/** The error of a browser that gives this page no more space. */
export declare const isQuotaError: (error: unknown) => boolean;
export declare class ProgramStore {
    #private;
    /** Settles when the browser has opened the database, however long that takes. */
    opened(): Promise<void>;
    /** Calls `callback` with the id of a program that another tab has stored or deleted. */
    onChange(callback: (id: string) => void): void;
    /** The programs that are not deleted, the last changed first. */
    list(): Promise<Program[]>;
    get(id: string): Promise<Program | undefined>;
    /**
     * Stores a program, whose `revision` is the last one that the caller knows: 0 for a new one. What
     * was stored before becomes a version, if some time has passed since the last version, or if much
     * of it is gone.
     */
    save(program: Program, { isVersionWanted, before }?: SaveOptions): Promise<Saved>;
    /** Makes a version of a program as it is stored, e.g. because it is run. */
    addVersion(id: string): Promise<void>;
    /** The earlier versions of a program, the newest first. */
    versions(id: string): Promise<Version[]>;
    /** Deletes a program, or restores a deleted one. */
    setDeleted(id: string, isDeleted: boolean): Promise<void>;
    /** Removes a program with its versions, for which no space is needed. */
    remove(id: string): Promise<void>;
    /** Removes the programs that were deleted long ago, with their versions. */
    purge(): Promise<void>;
    /** Removes everything. */
    clear(): Promise<void>;
}
