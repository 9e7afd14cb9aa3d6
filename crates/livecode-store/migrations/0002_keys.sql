-- Keys by which the server signs what it hands out, in hexadecimal.
CREATE TABLE keys (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
