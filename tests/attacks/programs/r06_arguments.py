import sys
from attack import *

# The request has newlines, backslashes, quotes, substitutions and globs as arguments. No shell may
# have interpreted them.
sent = ["a b", "$(id)", "`id`", "\\", "\n", "'\"", "*", "--", "-c", "; id", "${HOME}", "~", ""]
want("arguments", sys.argv[1:], sent)
held()
