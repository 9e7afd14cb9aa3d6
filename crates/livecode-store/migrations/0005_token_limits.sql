-- Limits of a token of its own, as JSON; NULL if it has none.
ALTER TABLE tokens ADD COLUMN limits TEXT;
