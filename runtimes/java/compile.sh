# Compiles a Java program into /tmp/program, and writes the options with which `java` runs it.
# Usage: compile.sh MEMORY_BYTES SOURCE…, the source that has `main` first
#
# The compiler wants a public class in a file of its name, so each source gets that name in a
# folder of its own. Sources that are not named here, as those of other packages, are found in the
# working directory.
set -eu
memory_bytes=$1
shift
mkdir -p /tmp/sources /tmp/program/classes

first=
first_other=
for source; do
    # The name of the public class, the class that has a static `main`, and the class that has any.
    found=$(awk -f /livecode/java/classes.awk "$source")
    public=${found%% *} other=${found##* }
    main=${found#* }
    main=${main% *}
    name=${public:-$(basename "$source" .java)}.java
    if [ -e "/tmp/sources/$name" ]; then
        echo "$source: class ${name%.java} is in $(realpath --relative-to . "/tmp/sources/$name"), too" >&2
        exit 1
    fi
    ln -s "$PWD/$source" "/tmp/sources/$name"
    first=${first:-$main}
    [ "$other" != . ] || other=${name%.java}
    first_other=${first_other:-$other}
    set -- "$@" "$name"
    shift
done

cd /tmp/sources
javac -J-XX:+UseSerialGC -J-XX:TieredStopAtLevel=1 -J-XX:-UsePerfData -J-Xshare:auto \
    "-J-XX:MaxRAM=$memory_bytes" -J-XX:MaxRAMPercentage=60 \
    -proc:none -g -Xlint:-options -d /tmp/program/classes -sourcepath "$OLDPWD" "$@"
# Since Java 25, `main` need not be static, nor in a class.
if [ -z "$first" ] && javac -version | grep -qE ' (2[5-9]|[3-9][0-9])\b'; then
    first=$first_other
fi
if [ -z "$first" ]; then
    echo "${1%.java}.java: no class has a method main: public static void main(String[] args)" >&2
    exit 1
fi
echo "-cp /tmp/program/classes:$OLDPWD $first" >/tmp/program/options
