.read greeting.sql
SELECT * FROM greeting;
