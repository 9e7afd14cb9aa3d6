.separator "" ""
SELECT 'name? ';
.separator "\001" "\n"
CREATE TABLE lines (line);
.import '|head -n 1' lines
SELECT 'hello ' || line FROM lines;
