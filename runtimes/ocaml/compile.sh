# Compiles an OCaml program into /tmp/program.
# Usage: compile.sh SOURCE…
set -eu
mkdir /tmp/build
cp *.ml *.mli /tmp/build 2>/dev/null || true
cp /livecode/ocaml/terminal.c /tmp/build
main=$1
shift
cd /tmp/build
# The other sources are the modules of the program. They come first, each after those it uses.
modules=$(for source; do basename "$source"; done)
interfaces=$(for source in $modules; do [ ! -e "${source}i" ] || echo "${source}i"; done)
[ -z "$modules" ] || modules=$(ocamldep -sort $modules $interfaces)
[ -e "$(basename "$main")" ] || cp "$OLDPWD/$main" .
# Input and output pass through terminal.c.
wrapped=
for name in output output_bytes output_char input input_char input_scan_line; do
    wrapped="$wrapped,--wrap=caml_ml_$name"
done
exec ocamlopt -g -I +unix -I +str -I +threads \
    unix.cmxa str.cmxa threads.cmxa terminal.c -ccopt "-Wl$wrapped" -o /tmp/program \
    $modules "$(basename "$main")"
