"""The shapes of this runtime, for programs that import them: ``from joy import *``.

A file ``joy.py`` beside a program comes before this one.
"""

from _joy_shapes import *  # noqa: F403
from _joy_shapes import __all__  # noqa: F401
