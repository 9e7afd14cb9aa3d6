# Compiles a TypeScript program and what it imports into /tmp/program.
# Usage: compile.sh SOURCE
#
# Every file is a module, so that two files may use the same names. The types of Node are where npm
# installs global packages; without them, those of a browser have `console` at least.
library="--lib es2023,dom"
for roots in /usr/share/nodejs/@types /usr/lib/node_modules/@types /usr/local/lib/node_modules/@types; do
    [ ! -d "$roots/node" ] || library="--lib es2023 --types node --typeRoots $roots"
done
exec tsc --outDir /tmp/program --rootDir . --inlineSourceMap --noEmitOnError --strict \
    --target es2022 $library --module nodenext --moduleDetection force --esModuleInterop \
    --resolveJsonModule --skipLibCheck "$1" >&2
