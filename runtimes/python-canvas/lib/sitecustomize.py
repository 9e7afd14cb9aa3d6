"""Imported by the interpreter before the program: output as on a terminal, and the canvas in scope."""

import builtins
import sys

import canvas

if sys.stdout is not None:
    sys.stdout.reconfigure(line_buffering=True)

for name in canvas.__all__:
    setattr(builtins, name, getattr(canvas, name))
