/**
 * The words of the interface in English. Its keys are those of every language: a language that lacks
 * one, or has another one, does not compile. Whatever is shown to users and is neither a program's,
 * nor the server's, stands here.
 */

import { pluralOf } from "./plural.js";

const plural = pluralOf("en");

const en = {
  /** The language, as a tag of BCP 47. */
  lang: "en",

  // The editor.
  run: "Run",
  stop: "Stop",
  reset: "Reset",
  replay: "Replay",
  code: "Code",
  codeHelp:
    "Tab indents. To leave with the keyboard, press Escape and then Tab. " +
    "Control or Command with Enter runs.",
  completions: "Names to complete",
  files: "Files",
  file: "File",
  canvas: "Canvas that the program draws on",
  output: "Output",
  splitHint: "Press Run to see the program's output and drawings here.",
  input: "Input for the program",
  send: "Send",
  endOfInput: "End of input",
  codeAndOutput: "Code and output",
  table: "Table",
  rowsShown: (shown: number, all: number) => `${shown} of ${plural(all, { one: "row", other: "rows" })}`,
  columnsShown: (shown: number, all: number) =>
    `${shown} of ${plural(all, { one: "column", other: "columns" })}`,
  picture: "a picture that the program made",
  earlierOutput: "(earlier output is not shown)",
  outputNotKept: "(some output was not kept)",
  goToLine: (line: number) => `Go to line ${line}`,
  solution: "Solution",
  fixedLine: "This line cannot be changed",
  asExpected: "✓ The output is as expected.",
  notAsExpected: "✗ The output is not as expected, which is:",
  cases: "Cases",
  casesPassed: (passed: number, all: number) =>
    `${passed === all ? "✓" : "✗"} ${passed} of ${plural(all, { one: "case", other: "cases" })} passed.`,
  caseNotAsExpected: "not as expected",
  caseFailed: "failed",
  caseArguments: "Arguments",
  caseInput: "Input",
  expectedAndPrinted: "Expected (−) and printed (+)",
  whiteSpaceDiffers: "Only white space differs.",
  printed: "Printed",
  standardError: "Standard error",
  moreNotShown: "(more was printed, and is not shown)",
  casesNotSecret: "Whoever can run this program can read its cases: they are not secret.",
  damagedCases: (why: string) => `The cases of this program are damaged: ${why}`,
  noSnippet: (id: string) => `This page has no program “${id}”, on which this one builds.`,

  // The state of a program.
  starting: "starting",
  loading: "loading what it has shown",
  waitingForTurn: (position: string) => `waiting for its turn, number ${position}`,
  waiting: (why: string) => `waiting: ${why}`,
  compiling: "compiling",
  running: "running",
  waitingForInput: "waiting for input",
  replaying: "replaying",
  connecting: "connecting",
  reconnecting: "reconnecting",
  youHaveJoined: (state: string) => `${state}, you have joined`,
  youAreWatching: (state: string) => `${state}, you are watching`,
  notRun: "could not be run",
  notShared: "not shared any more",
  finished: "finished",
  stopped: "stopped",
  stoppedAfter: (seconds: number) => `stopped after ${seconds} s: its time was up`,
  timeWasUp: "stopped: its time was up",
  endedBySignal: (signal: number) => `ended by signal ${signal}`,
  endedWithStatus: (status: number) => `ended with exit status ${status}`,
  endedOtherwise: (reason: string) => `ended: ${reason}`,
  notCompiled: "not compiled",
  usedUpCpu: "stopped: it used up its processor time",
  usedUpMemory: "stopped: it used up its memory",
  printedTooMuch: "stopped: it printed too much",
  lost: "lost: the server's machine or the supervisor of the program failed",

  // The menu of the output, and its search.
  outputMenu: "Output and view",
  copyOutput: "Copy output",
  downloadOutput: "Download output",
  clearOutput: "Clear output",
  findMenu: "Find in output…",
  larger: "Larger type",
  smaller: "Smaller type",
  wrap: "Wrap long lines",
  fullScreen: "Full screen",
  copied: "Copied",
  notCopied: "The browser does not allow copying here",
  cleared: "Cleared",
  find: "Find in the output",
  findHint: "Find",
  previous: "Previous",
  next: "Next",
  close: "Close",
  found: (current: number, all: string) => `${current} of ${all}`,
  notFound: "Not found",

  // The page.
  description: "Write programs and run them, in the browser.",
  language: "Language",
  programs: "Programs",
  share: "Share",
  sessions: "Sessions",
  signOut: "Sign out",
  signIn: "Sign in",
  ownPrograms: "Your programs",
  examples: "Examples",
  noScript:
    "This page needs JavaScript to run programs, and JavaScript is switched off in this browser.",
  sandbox: "Programs run in a sandbox on this server.",
  api: "API",
  languages: "Languages",
  licences: "Licences",
  showPageIn: "Show this page in",
  noAnswer: "The server does not answer. Try again in a moment.",
  askingAgain: "The server does not answer. Asking again…",
  asking: "Asking the server…",
  noAnswerShort: "The server does not answer.",
  cancel: "Cancel",
  copy: "Copy",
  copiedLink: "Copied.",
  onThisServer: "On this server",
  notInstalled: "Not installed here",
  cannotRun: (title: string, lack: string) => `This machine cannot run ${title} yet: ${lack}`,
  newProgram: "New",
  myProgram: "My program",
  my: (title: string) => `My ${title}`,
  sharedProgram: "Shared program",
  exampleHello: "Hello",
  exampleQuiz: "Quiz",
  exampleTurtle: "Turtle",
  exampleAnimation: "Animation",
  exampleGame: "Mouse game",
  exampleMusic: "Music",
  examplePlot: "Plot",
  exampleTable: "Table",
  examplePaint: "Paint",
  linkNotShared:
    "This link opens no session any more: it has expired or was revoked, or the program has ended " +
    "and is not kept. Whoever sent it to you can make a new one.",
  unknownCode:
    "The code of this session is not in this browser: the session was started elsewhere, or long ago.",
  runsOn: "The program before runs on until you run another one. Sessions leads back to it.",
  noSpaceForText:
    "This browser has no space left for what you write. It is kept until you close this tab: " +
    "delete programs, or download this one.",
  keepsNothing:
    "This browser keeps nothing for this page, as in a private window: what you write is kept until " +
    "you close this tab. Download what you want to have.",
  changedElsewhere: (name: string, copy: string) =>
    `“${name}” was changed in another tab, too. What you wrote here is “${copy}”.`,
  brokenLink: "This link is broken: a part of it seems to be missing.",
  notListed: "Your programs cannot be listed now. Try again in a moment.",
  notRemoved:
    "Your programs could not be removed from this browser. To remove them, delete this site's data " +
    "in the browser's settings.",

  // Signing in and out.
  token: "Token",
  tokenHint: "This browser keeps the token until you sign out.",
  whyToken: "This server knows its users by tokens. Whoever runs it can give you one.",
  whyTokenAgain:
    "Your token is not valid any more: it has expired or was revoked. Sign in with a new one to " +
    "continue where you are. Your programs run on.",
  wrongToken: "This token is not valid: it is wrong, has expired or was revoked.",
  tooManyTokens: (seconds: number) =>
    `Too many wrong tokens came from here. Wait ${plural(seconds, { one: "second", other: "seconds" })}, and try again.`,
  signOutHint:
    "What you wrote on this page is in this browser only, and is removed, with all your programs: " +
    "“Programs” can download them before. Your sessions stay on the server, and programs run on.",
  signOutNow: "Sign out, and remove what I wrote",

  // Sharing.
  codeLink: "Link to the code as it is now",
  codeLinkHint: "The link contains the code itself. Nothing is stored on the server.",
  frameCode: "HTML for a page of another site",
  frameCodeHint: "It shows the code as it is now in a frame, where visitors can change and run it.",
  sessionLinks: "The program that is shown, from its beginning",
  sessionLinksHint:
    "Whoever has a link to watch sees what the program shows. Whoever has a link to join may also " +
    "type, click and draw. Both links contain the program's code, too, which can still be read after " +
    "you revoke them.",
  linkToWatch: "Link to watch",
  linkToJoin: "Link to join",
  madeLinkToWatch: (until: string) => `Link to watch the program, ${until}`,
  madeLinkToJoin: (until: string) => `Link to join the program, ${until}`,
  aLinkToWatch: (until: string) => `A link to watch, ${until}`,
  aLinkToJoin: (until: string) => `A link to join, ${until}`,
  until: (time: string) => `until ${time}`,
  madeLinks: "Links that were made",
  linkShownOnce: "The link is shown only now.",
  revoke: "Revoke",
  revokeLinkToWatch: "Revoke the link to watch",
  revokeLinkToJoin: "Revoke the link to join",
  revoked: "The link does not open the session any more, and whoever watched by it is disconnected.",

  // Sessions and quotas.
  yourSessions: "Your sessions",
  state: "State",
  runtime: "Runtime",
  all: "All",
  notStarted: "Not started",
  stateRunning: "Running",
  stateEnded: "Ended",
  notStartedYet: "not started yet",
  more: "More",
  open: "Open",
  forget: "Forget",
  end: "End",
  actOnSession: (act: string, title: string, age: string) => `${act} ${title}, ${age}`,
  sessionState: (title: string, state: string) => `${title}: ${state}`,
  noSessions: "You have no sessions yet. Run a program to start one.",
  noSuchSession: "You have no such session.",
  theLast: (count: number) => `The last ${count}.`,
  inAll: (count: number) => `${count} in all.`,
  justNow: "just now",
  hours: (count: string) => `${count} hours`,
  minutes: (count: string) => `${count} minutes`,
  seconds: (count: string) => `${count} seconds`,
  bytes: (count: string) => `${count} bytes`,
  you: "You have",
  youByToken: "With this token you have",
  youByAddress: "You and the others at your address have",
  usedToday: (who: string, part: string, all: string, of: string) =>
    `${who} used ${part} of ${all} of ${of} today.`,
  usedUpToday: (who: string, all: string, of: string, time: string) =>
    `${who} used up the ${all} of ${of} for today. You can run programs again from ${time} on; if you ` +
    "need more, ask the operator of this server.",
  cpuTime: "CPU time",
  quotaOutput: "output",
  tomorrow: "tomorrow",
  startedMany: (who: string, limit: number) =>
    `${who} started ${plural(limit, { one: "program", other: "programs" })} in a minute, which is the most. Wait a moment.`,
  runningMany: (who: string, limit: number) =>
    `${who} ${plural(limit, { one: "program", other: "programs" })} running, which is the most. Others wait until one ends.`,
  sessionsTake: (part: string, all: string) =>
    `Ended sessions take ${part} of ${all} on the server. Beyond that, the oldest are forgotten.`,

  // The dialog with the programs.
  noSpace: "There is no space left for that in this browser. Delete programs, or download them.",
  failed: "The browser did not do that. It keeps nothing for this page, as in a private window.",
  undo: "Undo",
  upload: "Upload",
  downloadAll: "Download all",
  noPrograms: "You have no programs yet. Whatever you write becomes one.",
  countFiles: (count: number) => plural(count, { one: "file", other: "files" }),
  countLines: (count: number) => plural(count, { one: "line", other: "lines" }),
  openProgram: (name: string) => `Open ${name}`,
  moreFor: (name: string) => `More for ${name}`,
  rename: "Rename",
  renameProgram: (name: string) => `Rename ${name}`,
  duplicate: "Duplicate",
  duplicateProgram: (name: string) => `Duplicate ${name}`,
  filesOfProgram: (name: string) => `Files ${name}`,
  versions: "Versions",
  versionsOfProgram: (name: string) => `Versions ${name}`,
  download: "Download",
  downloadProgram: (name: string) => `Download ${name}`,
  delete: "Delete",
  deleteProgram: (name: string) => `Delete ${name}`,
  isShown: "(shown)",
  changedJustNow: "The program was changed in another tab just now. Try again.",
  newNameOf: (name: string) => `New name of ${name}`,
  nameIsTaken: (name: string) => `Another program is “${name}”.`,
  isCopy: (name: string) => `“${name}” is a copy.`,
  isDeleted: (name: string) => `“${name}” is deleted.`,
  noSpaceForUndo: (name: string) => `There is no space left to keep “${name}” for Undo.`,
  deleteForGood: "Delete for good",
  deleteProgramForGood: (name: string) => `Delete ${name} for good`,
  isDeletedForGood: (name: string) => `“${name}” is deleted for good.`,
  isBack: (name: string) => `“${name}” is back.`,
  programsInFile: (count: number, file: string) =>
    count === 1 ? `1 program is in the file ${file}.` : `${count} programs are in the file ${file}.`,
  tooLargeUpload: "Only 10 MB in all can be uploaded at once.",
  wasAdded: (names: string[]) =>
    `${names.map((name) => `“${name}”`).join(", ")} ${names.length === 1 ? "was" : "were"} added.`,
  programsWereAdded: (count: number) =>
    count === 1 ? "1 program was added." : `${count} programs were added.`,
  nothingAdded: "Nothing was added.",
  nothingMoreAdded: (reason: string) => `Nothing more was added. ${reason}`,
  browserSays: (error: string) => `The browser says: ${error}`,
  leftOut: (names: string[], others: number) =>
    `Left out, because it is not text: ${names.join(", ")}${others ? ` and ${others} more` : ""}.`,
  isTooLarge: (name: string) => `${name} is too large.`,
  isNotText: (name: string) => `${name} is not text in UTF-8.`,
  isNoArchive: (name: string) => `${name} is damaged, or not a ZIP file.`,
  lacksFile: (archive: string, path: string) => `${archive} lacks ${path}.`,
  isDamagedIn: (file: string, archive: string) => `${file} in ${archive} is damaged.`,
  back: "Back",
  backToPrograms: "Back to your programs",
  versionsTitle: (name: string) => `Versions of ${name}`,
  noVersions:
    "There is no earlier version yet. One is kept for each minute of changes, and for each run.",
  show: "Show",
  restore: "Restore",
  restoreVersion: (age: string) => `Restore the version of ${age}`,
  filesTitle: (name: string) => `Files of ${name}`,
  nameOfFile: (name: string) => `Name of the file ${name}`,
  fileIsNow: (name: string) => `The file is “${name}” now.`,
  deleteFile: (name: string) => `Delete the file ${name}`,
  fileIsDeleted: (name: string) => `“${name}” is deleted. Versions still has it.`,
  runs: (lines: string) => `${lines}, runs`,
  nameOfNewFile: "Name of a new file",
  newFileHint: "data.txt",
  addFile: "Add a file",
  fileIsAdded: (name: string) => `“${name}” is added.`,
  fileNeedsName: "A file needs a name.",
  noFileName: (name: string) => `“${name}” cannot be the name of a file.`,
  fileNameIsTaken: (name: string) => `Another file is “${name}”.`,

  // The page for frames.
  programToRun: "A program to run",
  programIn: (runtime: string) => `A program in ${runtime}`,
  noGuests:
    "This server runs programs only for users whom it knows, and nobody can sign in inside of a frame.",
  damagedProgram: "The program in the address of this frame is damaged.",
  frameNoScript:
    "This program can be run where scripts are allowed: the frame needs sandbox=\"allow-scripts\".",
};

/** The words of the interface in one language. */
export type Words = typeof en;

export default en;
