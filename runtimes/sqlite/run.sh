# Runs an SQL script. Its name is quoted: it may have blanks, and with `|` first it would be a command.
# Usage: run.sh SOURCE [ARGUMENT…]. A script cannot see arguments, so they are ignored: to sqlite3
# they would be further SQL.
quoted=$(printf %s "$1" | sed 's/[\\"]/\\&/g')
exec sqlite3 -bail :memory: ".read \"./$quoted\""
