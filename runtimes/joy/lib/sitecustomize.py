"""The interpreter imports this module before the program.

It makes output appear as on a terminal, and the functions for shapes built-in names.
"""

import builtins
import sys

import _joy_shapes

if sys.stdout is not None:
    sys.stdout.reconfigure(line_buffering=True)

for name in _joy_shapes.__all__:
    setattr(builtins, name, getattr(_joy_shapes, name))
