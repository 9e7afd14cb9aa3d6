# Compiles a Pascal program, and the units beside it, into /tmp/program. The compiler prints its
# messages on standard output.
# Usage: compile.sh SOURCE
set -o pipefail
mkdir /tmp/build
# The unit LiveCodeTerminal (-Fa) comes before those of the program.
fpc -l- -v0ew -gl -Fu/livecode/pascal/units -Falivecodeterminal -FU/tmp/build -FE/tmp/build -o/tmp/program "$1" 2>&1 |
    grep -v -e 'link.res contains output sections' -e '^/usr/bin/ld' -e 'returned an error exitcode$' >&2
exit "${PIPESTATUS[0]}"
