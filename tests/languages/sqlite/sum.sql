CREATE TABLE lines (line);
.separator "\001"
.import /dev/stdin lines
WITH RECURSIVE split (word, rest) AS (
  SELECT '', group_concat(line, ' ') || ' ' FROM lines
  UNION ALL
  SELECT substr(rest, 1, instr(rest, ' ') - 1), substr(rest, instr(rest, ' ') + 1) FROM split WHERE rest <> ''
)
SELECT sum(word) FROM split WHERE word <> '';
