# Compiles a Fortran program into /tmp/program. A source that uses a module of another one is
# compiled after that one.
# Usage: compile.sh SOURCE…
set -eu
options="-g -O1 -Wall -fcheck=all -fbacktrace"
# The locals of a program with OpenMP are on the stack, so OpenMP is on only for those that use it.
! grep -qi '^ *!\$omp' "$@" || options="$options -fopenmp"
mkdir /tmp/modules
if [ $# -gt 1 ]; then
    # The sources' numbers in order: their names may have blanks.
    order=$(awk '
        BEGIN { for (at = 1; at < ARGC; at++) number[ARGV[at]] = at }
        {
            sub(/\r$/, "")
            sub(/!.*/, "")
            statements = split(tolower($0), statement, ";")
            for (at = 1; at <= statements; at++) {
                text = statement[at]
                sub(/^[ \t]*use[ \t]*,[^:]*::/, "use ", text)
                sub(/,.*/, "", text)
                sub(/::/, " ", text)
                # A submodule is compiled after the module that its parentheses name.
                if (sub(/^[ \t]*submodule[ \t]*\([ \t]*/, "use ", text)) sub(/[:)].*/, "", text)
                words = split(text, word, " ")
                if (word[1] == "module" && words == 2) home[word[2]] = number[FILENAME]
                if (word[1] == "use" && words > 1) uses[++count] = word[2] " " number[FILENAME]
            }
        }
        END {
            for (at = 1; at < ARGC; at++) print at, at
            for (at = 1; at <= count; at++) {
                split(uses[at], use, " ")
                if (use[1] in home && home[use[1]] != use[2]) print home[use[1]], use[2]
            }
        }' "$@" | tsort)
    count=$#
    for number in $order; do
        eval "set -- \"\$@\" \"\${$number}\""
    done
    shift "$count"
fi
exec gfortran $options -J/tmp/modules -o /tmp/program "$@"
