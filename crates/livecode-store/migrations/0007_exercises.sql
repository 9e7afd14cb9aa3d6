-- Exercises. The owner is the caller that put the first version, as in the audit; the contents are
-- JSON. Times are in microseconds since the epoch.
CREATE TABLE exercises (
    id TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_us BIGINT NOT NULL,
    updated_us BIGINT NOT NULL,
    cases BIGINT NOT NULL,
    hidden BIGINT NOT NULL,
    contents TEXT NOT NULL
);

CREATE INDEX exercises_by_owner ON exercises (owner, id);
