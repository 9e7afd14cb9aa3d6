"""The interpreter imports this module before the program.

It makes output appear as on a terminal.
"""

import sys

# Python buffers output to a pipe in large blocks, but output to a terminal by lines. The option -u
# would not buffer at all and would write each print in two parts.
if sys.stdout is not None:
    sys.stdout.reconfigure(line_buffering=True)
