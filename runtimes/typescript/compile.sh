# Compiles a TypeScript program and what it imports into /tmp/program.
# Usage: compile.sh SOURCE
#
# Every file is a module, so that two files may use the same names. The types of Node are where npm
# installs global packages; without them, those of a browser have `console` at least.
library="--lib es2023,dom"
for roots in /usr/share/nodejs/@types /usr/lib/node_modules/@types /usr/local/lib/node_modules/@types; do
    [ ! -d "$roots/node" ] || library="--lib es2023 --types node --typeRoots $roots"
done
mkdir -p /tmp/program
# A package.json tells Node whether the files are modules of JavaScript or of Node.
find . -name node_modules -prune -o -name package.json -exec cp --parents {} /tmp/program \;
exec tsc --outDir /tmp/program --rootDir . --inlineSourceMap --noEmitOnError --strict \
    --target es2022 $library --module nodenext --moduleDetection force --esModuleInterop \
    --allowJs --resolveJsonModule --skipLibCheck "$1" >&2
