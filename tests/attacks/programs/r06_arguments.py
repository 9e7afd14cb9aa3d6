import sys
from attack import *

# Sent along: newline, backslash, quotes, substitutions, globs. None may have been looked at by a shell.
sent = ["a b", "$(id)", "`id`", "\\", "\n", "'\"", "*", "--", "-c", "; id", "${HOME}", "~", ""]
want("arguments", sys.argv[1:], sent)
held()
