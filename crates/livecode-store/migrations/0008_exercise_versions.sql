-- One row: the highest version of all exercises that were deleted. New exercises begin beyond it, so
-- that an id and a version never name two different contents.
CREATE TABLE exercise_versions (
    deleted_max BIGINT NOT NULL
);

INSERT INTO exercise_versions (deleted_max) VALUES (0);
