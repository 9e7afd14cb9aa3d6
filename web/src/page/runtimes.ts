/** The runtimes of the server. */

import { words } from "../words/words.js";
import { type Example, examplesOf } from "./examples.js";

/** An entry of `GET /runtimes`: the fields that are used. */
export interface Runtime {
  name: string;
  title: string;
  /** The file that a program is saved as, and the extensions of its files. */
  file: string;
  extensions: string[];
  available: boolean;
  /** What is missing on the server, if the runtime is not available. */
  needs?: string;
  /** Whether its hello ran there, if that was tried. */
  check?: { failure?: string };
  editor_mode: string;
  example: string;
}

export class Runtimes {
  constructor(readonly all: Runtime[]) {}

  find(name: string | undefined): Runtime | undefined {
    return this.all.find((runtime) => runtime.name === name);
  }

  titleOf(name: string): string {
    return this.find(name)?.title ?? name;
  }

  /** The examples for a runtime: the runtime's own, and those of this page. */
  examplesOf(name: string): Example[] {
    const code = this.find(name)?.example;
    const own = code ? [{ title: "Hello", runtime: name, code: code.trim() }] : [];
    return [...own, ...examplesOf(name)];
  }

  /** What this machine lacks for a runtime, in words; empty if it lacks nothing. */
  lackOf(name: string): string {
    const { needs, check } = this.find(name) ?? {};
    const lack = needs ?? check?.failure;
    return lack ? words.cannotRun(this.titleOf(name), lack) : "";
  }

  fillPicker(picker: HTMLSelectElement): void {
    const groups = [
      [words.onThisServer, true],
      [words.notInstalled, false],
    ] as const;
    for (const [label, isAvailable] of groups) {
      const group = document.createElement("optgroup");
      group.label = label;
      for (const { name, title, available } of this.all) {
        if (available === isAvailable) group.append(new Option(title, name));
      }
      if (group.childElementCount) picker.append(group);
    }
  }
}
