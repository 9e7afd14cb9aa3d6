SELECT 'fine' WHERE 0;
SELECT no_such_column; -- HERE
