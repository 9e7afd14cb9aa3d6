"""Turtle graphics on the page: Python's own turtle module, on a canvas of draw messages instead of a window.

What turtles are and do is the module that comes with Python; only what it would ask of tkinter is answered by
`_turtle_tk`. So programs run unchanged, and behave as the documentation of their Python says.
"""

import importlib.machinery
import os
import sys

import _turtle_tk

_path = os.path.join(os.path.dirname(os.__file__), "turtle.py")
if not os.path.exists(_path):
    raise ImportError(f"this machine's Python comes without its turtle module, {_path}: install python3 in full")

# The module asks for tkinter when it is loaded, and never again; everybody else finds the real one, or none.
_names = ("tkinter", "tkinter.simpledialog")
_before = {_name: sys.modules.get(_name) for _name in _names}
sys.modules.update({"tkinter": _turtle_tk, "tkinter.simpledialog": _turtle_tk.simpledialog})
try:
    exec(importlib.machinery.SourceFileLoader("turtle", _path).get_code("turtle"), globals())
finally:
    for _name, _module in _before.items():
        if _module is None:
            del sys.modules[_name]
        else:
            sys.modules[_name] = _module
