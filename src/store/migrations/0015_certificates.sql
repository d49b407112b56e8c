-- The client's certificate that a token counts with; without a token it is all there is, and `hash` is of a token
-- that nobody was given.
ALTER TABLE tokens ADD COLUMN certificate_subject TEXT;
ALTER TABLE tokens ADD COLUMN without_token BIGINT NOT NULL DEFAULT 0;
