-- What `explain --reference` shows: the check results of a refused response, sealed, never the response.
-- `signed` is 1 where an identity provider's signature held, so that strangers cannot crowd those out.
CREATE TABLE refusals (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    reference TEXT UNIQUE NOT NULL,
    signed BIGINT NOT NULL,
    refused_at BIGINT NOT NULL,
    sealed BLOB NOT NULL
);
CREATE INDEX refusals_newest ON refusals (signed, position);
CREATE INDEX refusals_age ON refusals (refused_at);

-- When an id was taken, for `explain` to tell; null for those of before.
ALTER TABLE replay_ids ADD COLUMN accepted_at BIGINT;
