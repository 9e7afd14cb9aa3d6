# Ruby loads this file before a program (RUBYOPT).

# Output to a terminal appears at once; a pipe would get it in large blocks.
$stdout.sync = true

# `require` searches the program's folder too. The folder comes first only now: RubyGems, which is
# loaded already, must not find a program's files in place of its own.
$LOAD_PATH.unshift(Dir.pwd)
