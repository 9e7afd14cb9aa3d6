/** The elements of an editor. */

import { words } from "../words/words.js";
import { createButton, createElement } from "./create-element.js";
import { Divider } from "./pane/divider.js";
import { OutputPane } from "./pane/pane.js";

/** What the buttons do. */
export interface FrameActions {
  run: () => void;
  stop: () => void;
  reset: () => void;
  replay: () => Promise<void>;
}

/** The parts of the bar. */
export type Bar = Record<keyof FrameActions, HTMLButtonElement> & { status: HTMLElement };

/** Creates the buttons of the bar, and the place that tells the state of the program. */
export function createBar(actions: FrameActions): Bar {
  const bar: Bar = {
    run: createButton("run", words.run, () => actions.run()),
    stop: createButton("stop", words.stop, () => actions.stop()),
    reset: createButton("reset", words.reset, () => actions.reset()),
    replay: createButton("replay", words.replay, () => void actions.replay().catch(() => {})),
    status: createElement("span", { class: "status", role: "status" }),
  };
  bar.stop.disabled = bar.replay.hidden = true;
  return bar;
}

export interface Frame {
  element: HTMLElement;
  pane: OutputPane;
  /** The place of the canvas. */
  canvas: HTMLElement;
}

/** Creates the frame with all parts. `ends` stand below the output. */
export function createFrame(
  { run, stop, reset, replay, status }: Bar,
  tabs: HTMLElement,
  code: HTMLElement,
  ends: HTMLElement[],
): Frame {
  const canvas = createElement("div", {
    class: "canvas",
    tabindex: "0",
    role: "img",
    "aria-label": words.canvas,
    hidden: "",
  });
  const element = createElement("div", { class: "frame", lang: words.lang });
  element.style.setProperty("--split-hint", JSON.stringify(words.splitHint));
  const pane = new OutputPane(element);
  const { findPlace, menu, note } = pane;
  const buttons = [run, stop, reset, replay, status, note, menu.button, menu.element];
  const bar = createElement("div", { class: "bar" }, ...buttons);
  const shown = createElement("div", { class: "shown" }, findPlace, canvas, pane.element, ...ends);
  const divider = new Divider(element, code, shown);
  element.append(bar, tabs, code, divider.element, shown);
  return { element, pane, canvas };
}
