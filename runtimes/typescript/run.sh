# Runs what compile.sh has made of a TypeScript program.
# Usage: run.sh SOURCE [ARGUMENT…]
stem=${1%.*}
case $1 in
*.mts) program=$stem.mjs ;;
*.cts) program=$stem.cjs ;;
*) program=$stem.js ;;
esac
shift
exec node "/tmp/program/$program" "$@"
