CREATE TABLE lines (line);
.separator "\001"
.import /dev/stdin lines
SELECT line FROM lines ORDER BY rowid;
