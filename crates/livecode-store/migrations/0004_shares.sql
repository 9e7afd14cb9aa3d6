-- Shares: links by which others watch or join a session. The secret of a link is not stored, only
-- its SHA-256 in hexadecimal. Times are in microseconds since the epoch.
CREATE TABLE shares (
    id TEXT NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    session TEXT NOT NULL,
    rights TEXT NOT NULL,
    maker TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    expires_us BIGINT NOT NULL,
    revoked_us BIGINT
);

CREATE INDEX shares_by_session ON shares (session);
CREATE INDEX shares_by_expiry ON shares (expires_us);
