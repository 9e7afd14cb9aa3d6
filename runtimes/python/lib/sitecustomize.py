"""Imported by the interpreter before the program: output appears as it would on a terminal."""

import sys

# Python holds output back when it goes to a pipe. Line by line is what a terminal gets; -u would be more than
# that, and split every print in two.
if sys.stdout is not None:
    sys.stdout.reconfigure(line_buffering=True)
