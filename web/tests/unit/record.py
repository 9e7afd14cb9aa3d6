"""
Records what programs with progress bars print, into recorded.json, with which terminal.test.ts
compares the terminal of the page. Needs Python's tqdm and rich, and npm's ora and cli-progress.

    python3 record.py > recorded.json
"""

import json
import os
import subprocess
import sys

TERMINAL = {"COLUMNS": "80", "LINES": "25", "TERM": "xterm-256color", "FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"}

PYTHON = {
    "tqdm, one bar": """
from tqdm import tqdm
for n in tqdm(range(40), mininterval=0): pass
""",
    "tqdm, nested bars": """
from tqdm import tqdm
for n in tqdm(range(3), desc="outer", mininterval=0, position=0):
    for m in tqdm(range(5), desc="inner", mininterval=0, position=1, leave=False): pass
print("done")
""",
    "tqdm, lines between": """
from tqdm import tqdm
for n in tqdm(range(8), mininterval=0, ascii=True): tqdm.write(f"line {n}")
""",
    "tqdm, many bars": """
from tqdm import tqdm
bars = [tqdm(total=10, desc=f"file {n}", position=n, mininterval=0) for n in range(6)]
for step in range(10):
    for bar in bars: bar.update()
for bar in bars: bar.close()
""",
    "rich, progress": """
import time
from rich.progress import Progress
with Progress() as progress:
    tasks = [progress.add_task(name, total=20) for name in ("Downloading", "Unpacking", "Cooking")]
    for n in range(20):
        for at, task in enumerate(tasks): progress.update(task, advance=1 + at)
        progress.refresh()
        if n == 10: progress.console.print("[bold]half[/bold] way")
""",
    "rich, live table": """
from rich.live import Live
from rich.table import Table
def table(rows):
    table = Table("n", "square", title="Squares")
    for n in range(rows): table.add_row(str(n), f"[green]{n * n}")
    return table
with Live(table(0), auto_refresh=False) as live:
    for n in range(30): live.update(table(n % 12), refresh=True)
""",
    "rich, status": """
import time
from rich.console import Console
console = Console()
with console.status("working") as status:
    for n in range(5):
        time.sleep(0.15)
        console.log(f"step {n} is done")
""",
    "rich, tree and markup": """
from rich import print
from rich.tree import Tree
tree = Tree("[bold blue]root")
branch = tree.add("[link=https://example.org]a link[/link]")
branch.add("[white on red] failed [/] [reverse]reversed[/] [#ff8800]orange[/]")
print(tree)
print({"a": [1, 2.5, None, True, "text"]})
""",
    "dots": """
for n in range(60): print(".", end="", flush=True)
print()
""",
    "a game that draws its screen anew": """
for n in range(30):
    print("\\x1b[2J\\x1b[H", end="")
    for row in range(8): print("".join("O" if (row, column) == (n % 8, n) else "." for column in range(40)))
    print(f"turn {n}")
""",
}

NODE = {
    "ora, spinner": """
import ora from "ora";
const stream = process.stdout;
Object.assign(stream, { isTTY: true, columns: 80, clearLine: (d) => stream.write(["\\x1b[1K", "\\x1b[2K", "\\x1b[0K"][d + 1]),
  cursorTo: (x) => stream.write(`\\x1b[${x + 1}G`), moveCursor: (x, y) => stream.write(y < 0 ? `\\x1b[${-y}A` : "") });
const spinner = ora({ text: "Installing packages", stream, isEnabled: true, discardStdin: false }).start();
for (let n = 0; n < 20; n++) { spinner.text = `Installing package ${n}\\nof 20`; spinner.render(); }
spinner.succeed("Installed");
""",
    "cli-progress, several bars": """
import progress from "cli-progress";
const stream = process.stdout;
Object.assign(stream, { isTTY: true, columns: 80, clearLine: (d) => stream.write(["\\x1b[1K", "\\x1b[2K", "\\x1b[0K"][d + 1]) });
const bars = new progress.MultiBar({ stream, forceRedraw: true, noTTYOutput: false }, progress.Presets.shades_classic);
const all = [bars.create(20, 0), bars.create(40, 0)];
for (let n = 0; n < 20; n++) { all[0].increment(); all[1].increment(2); bars.update(); }
bars.stop();
""",
}


def run(*command):
    """The output of a program. Its standard error is shown with it, as on a terminal."""
    result = subprocess.run(
        command, env={**os.environ, **TERMINAL}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True
    )
    return result.stdout.decode()


recorded = [{"name": name, "output": run(sys.executable, "-c", code)} for name, code in PYTHON.items()]
recorded += [
    {"name": name, "output": run("node", "--input-type=module", "--eval", code)} for name, code in NODE.items()
]
json.dump(recorded, sys.stdout, ensure_ascii=False, indent=1)
print()
