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
    /** When it was replaced by a newer one, in milliseconds since 1970. */
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
/** The error of a browser that gives this page no more space. */
export declare const isQuotaError: (error: unknown) => boolean;
export declare class ProgramStore {
    #private;
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
    save(program: Program, { isVersionWanted }?: {
        isVersionWanted?: boolean | undefined;
    }): Promise<Saved>;
    /** The earlier versions of a program, the newest first. */
    versions(id: string): Promise<Version[]>;
    /** Deletes a program, or restores a deleted one. */
    setDeleted(id: string, isDeleted: boolean): Promise<void>;
    /** Removes the programs that were deleted long ago, with their versions. */
    purge(): Promise<void>;
    /** Removes everything. */
    clear(): Promise<void>;
}
