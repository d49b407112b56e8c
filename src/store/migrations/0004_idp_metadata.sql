-- The last good metadata of each identity provider, by where it is from; and the last trouble with it.
CREATE TABLE idp_metadata (
    idp TEXT NOT NULL,
    source TEXT NOT NULL,
    document BLOB,
    etag TEXT,
    last_modified TEXT,
    fetched_at BIGINT,
    failure TEXT,
    failed_at BIGINT,
    PRIMARY KEY (idp, source)
);
