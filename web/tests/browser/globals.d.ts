/** The globals of the pages that the tests open. */

import type * as Client from "../../src/client/index.js";
import type { LiveCodeEditor as Editor } from "../../src/classic/editor.js";
import type { ClassicOptions, LiveCodeSession as Classic } from "../../src/classic/session.js";

declare global {
  var client: typeof Client;
  var hooks: Client.Hooks;
  var place: Client.Place;
  var notes: {
    output: string;
    messages: Client.Message[];
    states: Client.State[];
    errors: string[];
  };
  var session: Client.Session;
  var base_url: string;
  var messages: Client.Message[];
  var runClassic: (options: Partial<ClassicOptions>) => Promise<Client.Message[]>;
  var LiveCodeSession: typeof Classic;
  var LiveCodeEditor: typeof Editor;
  var editor: Editor;
  var edit: (options: Partial<import("../../src/classic/editor.js").EditorOptions>) => void;
  var recorded: unknown[];
}
