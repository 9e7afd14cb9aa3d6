# Compiles a Fortran program into /tmp/program. A source that uses a module of another one is
# compiled after that one.
# Usage: compile.sh SOURCE…
set -eu
options="-g -O1 -Wall -fcheck=all -fbacktrace"
# The locals of a program with OpenMP are on the stack, so OpenMP is on only for those that use it.
! grep -qi '^ *!\$omp' "$@" || options="$options -fopenmp"
mkdir /tmp/modules
if [ $# -gt 1 ]; then
    sources=$(awk '
        function word(at) { return tolower($at) }
        { sub(/,.*/, ""); sub(/::/, "") }
        word(1) == "module" && NF == 2 { home[word(2)] = FILENAME }
        word(1) == "use" { uses[++count] = word(NF) " " FILENAME }
        END {
            for (at = 1; at < ARGC; at++) print ARGV[at], ARGV[at]
            for (at = 1; at <= count; at++) {
                split(uses[at], use, " ")
                if (use[1] in home && home[use[1]] != use[2]) print home[use[1]], use[2]
            }
        }' "$@" | tsort)
else
    sources=$1
fi
exec gfortran $options -J/tmp/modules -o /tmp/program $sources
