# Compiles a Kotlin program into /tmp/program/main.jar, and writes the options with which `java`
# runs it.
# Usage: compile.sh MEMORY_BYTES SOURCE…, the source that has `main` first
set -u
memory_bytes=$1
shift
mkdir -p /tmp/program
JAVA_OPTS="-XX:MaxRAM=$memory_bytes -XX:MaxRAMPercentage=60 -XX:+UseSerialGC -XX:TieredStopAtLevel=1" \
    kotlinc "$@" -include-runtime -d /tmp/program/main.jar 2>/tmp/messages
status=$?
# The compiler warns of files of its own that Debian does not package, and the JVM of the
# compiler's options.
grep -v -e '^OpenJDK .* warning' -e '^warning: unable to find kotlin-' -e '^WARNING: ' /tmp/messages >&2
[ $status -eq 0 ] || exit $status

# With one `main` the compiler names its class in the jar; with several, that of the first source
# is meant. Its class has the name of the file, unless the file gives another one.
options="-jar /tmp/program/main.jar"
mains=$(grep -lE '^[^/"]*\bfun[[:space:]]+main[[:space:]]*\(' "$@" | wc -l)
if [ "$mains" -gt 1 ] && grep -qE '^[^/"]*\bfun[[:space:]]+main[[:space:]]*\(' "$1"; then
    package=$(sed -nE 's/^[[:space:]]*package[[:space:]]+([[:alnum:]_.]+).*/\1./p' "$1" | head -n 1)
    class=$(sed -nE 's/^[[:space:]]*@file:JvmName\("([[:alnum:]_]+)"\).*/\1/p' "$1" | head -n 1)
    [ -n "$class" ] || class=$(basename "$1" .kt | sed -E 's/[^[:alnum:]_]/_/g; s/^([0-9])/_\1/; s/^./\U&/; s/$/Kt/')
    options="-cp /tmp/program/main.jar $package$class"
fi
echo "$options" >/tmp/program/options
