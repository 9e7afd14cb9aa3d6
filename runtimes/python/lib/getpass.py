"""Python's own module ``getpass``, whose ``getpass()`` asks here as it does on a terminal.

There is no terminal here, for which Python's own function warns, and reads a line that is shown.
"""

import os as _os

with open(_os.path.join(_os.path.dirname(_os.__file__), "getpass.py"), encoding="utf-8") as _own:
    exec(compile(_own.read(), _own.name, "exec"))

_own_getpass = getpass  # noqa: F821 - a name of Python's own module


def getpass(prompt="Password: ", stream=None, **options):
    """Prompt for a password, which is shown to nobody. Returns the line that was typed."""
    try:
        import livecode

        livecode._channel()
    except (ImportError, RuntimeError):
        # The program of another process, which has no message channel.
        return _own_getpass(prompt, stream, **options)
    return livecode.getpass(prompt, stream)
