-- Tokens of users. A token itself is not stored, only its SHA-256 in hexadecimal. Times are in
-- microseconds since the epoch.
CREATE TABLE tokens (
    id TEXT NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    user_name TEXT NOT NULL,
    role TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    expires_us BIGINT,
    revoked_us BIGINT
);

CREATE INDEX tokens_by_user ON tokens (user_name);
