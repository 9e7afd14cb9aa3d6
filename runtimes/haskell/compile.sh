# Compiles a Haskell program, and the modules beside it, into /tmp/program.
# Usage: compile.sh SOURCE
#
# LiveCodeTerminal.hs has the `main` that is run. It imports the program's module, Main.
set -eu
mkdir /tmp/build
cp /livecode/haskell/LiveCodeTerminal.hs /tmp/build
exec ghc -v0 -O1 -threaded -rtsopts=none -main-is LiveCodeTerminal -outputdir /tmp/build "-i$(dirname "$1")" -i. -i/tmp/build \
    -o /tmp/program "$1" /tmp/build/LiveCodeTerminal.hs
