"""Turtle graphics on the page.

This executes the turtle module that comes with Python, with `_turtle_tk` in place of tkinter. So
programs run unchanged and behave as the documentation of their Python version describes.
"""

import importlib.machinery
import os
import sys

import _turtle_tk

_path = os.path.join(os.path.dirname(os.__file__), "turtle.py")
if not os.path.exists(_path):
    raise ImportError(f"this machine's Python has no turtle module at {_path}: install the full python3 package")

# The module imports tkinter only while it is loaded. All other modules still find the real
# tkinter, if there is one.
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
