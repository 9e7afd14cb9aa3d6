# Compiles an OCaml program into /tmp/program: the source, and of the files beside it those that it
# uses. Other files beside it may be programs of their own.
# Usage: compile.sh SOURCE
set -eu
main=$(basename "$1")
mkdir /tmp/build
cp "$1" /livecode/ocaml/terminal.c /tmp/build
cp "$(dirname "$1")"/*.ml "$(dirname "$1")"/*.mli /tmp/build 2>/dev/null || true
cd /tmp/build

# Prints the modules that sources use. Mistakes in them are left to the compiler.
used_modules() {
    ocamldep -modules "$@" 2>/dev/null | sed 's/^.*://' || true
}

interface=
[ ! -e "${main}i" ] || interface=${main}i
sources=
modules=$(used_modules "$main" ${interface:+"$interface"})
while [ -n "$modules" ]; do
    more=
    for module in $modules; do
        for name in "$(echo "$module" | sed 's/^./\l&/')" "$module"; do
            for source in "$name.mli" "$name.ml"; do
                [ -e "$source" ] && [ "$source" != "$main" ] && [ "$source" != "$interface" ] || continue
                case " $sources " in *" $source "*) continue ;; esac
                sources="$sources $source"
                more="$more $(used_modules "$source")"
            done
        done
    done
    modules=$(echo $more)
done
# The names of modules have no blanks. Each comes after those it uses.
[ -z "$sources" ] || sources=$(ocamldep -sort $sources)

# Input and output pass through terminal.c. A program's file need not have the name of a module
# (warning 24).
wrapped=
for name in output output_bytes output_char input input_char input_scan_line; do
    wrapped="$wrapped,--wrap=caml_ml_$name"
done
exec ocamlopt -g -w -24 -I +unix -I +str -I +threads \
    unix.cmxa str.cmxa threads.cmxa terminal.c -ccopt "-Wl$wrapped" -o /tmp/program \
    $sources ${interface:+"$interface"} "$main"
