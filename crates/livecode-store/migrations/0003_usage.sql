-- What each payer has used on a day. A day is the number of days since the epoch, in UTC.
CREATE TABLE usage (
    payer TEXT NOT NULL,
    day BIGINT NOT NULL,
    cpu_ms BIGINT NOT NULL,
    output_bytes BIGINT NOT NULL,
    PRIMARY KEY (payer, day)
);
