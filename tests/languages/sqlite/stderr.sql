.shell echo oops >&2
