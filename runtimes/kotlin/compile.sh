# Compiles a Kotlin program into /tmp/program/main.jar.
# Usage: compile.sh SOURCE…
set -u
mkdir -p /tmp/program
JAVA_OPTS="-Xmx768m -XX:+UseSerialGC -XX:TieredStopAtLevel=1" \
    kotlinc "$@" -include-runtime -d /tmp/program/main.jar 2>/tmp/messages
status=$?
# The compiler warns of files of its own that Debian does not package, and the JVM of the
# compiler's options.
grep -v -e '^OpenJDK .* warning' -e '^warning: unable to find kotlin-' -e '^WARNING: ' /tmp/messages >&2
exit $status
