/**
 * The modules that come with a language. The server lists further packages that it has. The file is
 * loaded when the name of a module is first typed.
 */

export const PYTHON_MODULES = (
  "abc argparse array ast asyncio base64 bisect calendar cmath collections colorsys contextlib copy csv " +
  "dataclasses datetime decimal difflib enum fractions functools glob graphlib hashlib heapq html http " +
  "inspect io itertools json keyword livecode logging math numbers operator os pathlib pickle platform " +
  "pprint queue random re secrets shutil signal socket sqlite3 statistics string struct subprocess sys " +
  "tempfile textwrap threading time timeit traceback turtle types typing unicodedata unittest urllib uuid " +
  "warnings xml zipfile zlib"
).split(" ");

export const SCRIPT_MODULES = (
  "assert async_hooks buffer child_process crypto events fs fs/promises http livecode os path " +
  "perf_hooks process querystring readline readline/promises stream stream/promises string_decoder " +
  "timers timers/promises url util worker_threads zlib"
).split(" ");
