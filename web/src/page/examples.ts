/** The page's own examples, each in a file of `examples/`. Runtimes bring one example each. */

import { words } from "../words/words.js";
import animation from "./examples/animation.py?raw";
import paint from "./examples/paint.mjs?raw";
import bounce from "./examples/bounce.mjs?raw";
import game from "./examples/game.py?raw";
import music from "./examples/music.py?raw";
import plot from "./examples/plot.py?raw";
import quiz from "./examples/quiz.py?raw";
import table from "./examples/table.py?raw";
import tune from "./examples/tune.js?raw";
import turtle from "./examples/turtle.py?raw";

export interface Example {
  /** Identifies the example among those of its runtime. */
  title: string;
  runtime: string;
  code: string;
}

/** The examples by language. The runtimes of one language share them. */
const FAMILIES: Example[][] = [
  [
    { title: "Quiz", runtime: "python", code: quiz },
    { title: "Turtle", runtime: "python-canvas", code: turtle },
    { title: "Animation", runtime: "python-canvas", code: animation },
    { title: "Mouse game", runtime: "python-canvas", code: game },
    { title: "Music", runtime: "python", code: music },
    { title: "Plot", runtime: "python", code: plot },
    { title: "Table", runtime: "python", code: table },
  ],
  [
    { title: "Animation", runtime: "javascript-canvas", code: bounce },
    { title: "Paint", runtime: "javascript-canvas", code: paint },
    { title: "Music", runtime: "javascript", code: tune },
  ],
];

/** The examples for the language of a runtime. */
export function examplesOf(runtime: string): Example[] {
  const isOfRuntime = (example: Example) => example.runtime === runtime;
  const family = FAMILIES.find((family) => family.some(isOfRuntime)) ?? [];
  return family.map((example) => ({ ...example, code: example.code.trim() }));
}

/** The keys of the words for the titles of the examples. */
const TITLES = {
  Hello: "exampleHello",
  Quiz: "exampleQuiz",
  Turtle: "exampleTurtle",
  Animation: "exampleAnimation",
  "Mouse game": "exampleGame",
  Music: "exampleMusic",
  Plot: "examplePlot",
  Table: "exampleTable",
  Paint: "examplePaint",
} as const;

/** The title of an example in the language of the interface. */
export const describeExample = (title: string): string =>
  Object.hasOwn(TITLES, title) ? words[TITLES[title as keyof typeof TITLES]] : title;
