# Runs an SQL script. Its name is quoted: it may have blanks, and with `|` first it would be a command.
# Usage: run.sh SOURCE [ARGUMENT…]
quoted=$(printf %s "$1" | sed 's/[\\"]/\\&/g')
shift
exec sqlite3 -bail :memory: ".read \"./$quoted\"" "$@"
