-- Who did what, when, and from where. The same action that the same caller repeats within a few
-- seconds is one row. Times are in microseconds since the epoch.
CREATE TABLE audit (
    time_us BIGINT NOT NULL,
    times BIGINT NOT NULL,
    action TEXT NOT NULL,
    actor TEXT NOT NULL,
    credential TEXT,
    session TEXT,
    subject TEXT,
    client TEXT
);

CREATE INDEX audit_by_time ON audit (time_us);
CREATE INDEX audit_by_actor ON audit (actor, time_us);
CREATE INDEX audit_by_session ON audit (session);
