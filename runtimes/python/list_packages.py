"""Prints the names of the packages that can be imported besides Python's own library."""

import pkgutil
import sys

FOLDERS = ("site-packages", "dist-packages")

for module in pkgutil.iter_modules([path for path in sys.path if path.endswith(FOLDERS)]):
    # Compiled packages come with modules whose names no program can write.
    if module.name.isidentifier() and not module.name.startswith("_"):
        print(module.name)
