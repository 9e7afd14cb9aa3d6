/** The classic script `/static/livecode.js`: it is no module, and defines two globals. */

import { LiveCodeEditor } from "./editor.js";
import { LiveCodeSession } from "./session.js";

Object.assign(globalThis, { LiveCodeSession, LiveCodeEditor });
