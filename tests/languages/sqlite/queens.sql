CREATE TABLE columns (x);
INSERT INTO columns VALUES (1), (2), (3), (4), (5), (6), (7), (8);
CREATE TABLE found AS
WITH RECURSIVE boards (rows, queens) AS (
  SELECT 0, ''
  UNION ALL
  SELECT rows + 1, queens || x FROM boards, columns
  WHERE rows < 8 AND NOT EXISTS (
    SELECT 1 FROM columns AS other
    WHERE other.x <= rows AND abs(substr(queens, other.x, 1) - columns.x) IN (0, rows + 1 - other.x)
  )
)
SELECT queens FROM boards WHERE rows = 8 ORDER BY queens;
SELECT group_concat(substr(queens, x, 1), ' ') FROM columns, (SELECT queens FROM found LIMIT 1);
SELECT count(*) FROM found;
