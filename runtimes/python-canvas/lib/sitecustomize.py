"""The interpreter imports this module before the program.

It makes output appear as on a terminal, and the canvas's functions built-in names.
"""

import builtins
import sys

import canvas

if sys.stdout is not None:
    sys.stdout.reconfigure(line_buffering=True)

for name in canvas.__all__:
    setattr(builtins, name, getattr(canvas, name))
