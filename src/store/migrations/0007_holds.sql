-- What admins refuse until they release it. A row without user, IdP, role and launcher refuses everything;
-- `session` and `lease` say what the revocation named, where that was what the hold came of.
CREATE TABLE holds (
    id TEXT PRIMARY KEY NOT NULL,
    user_name TEXT,
    idp TEXT,
    role TEXT,
    launcher TEXT,
    session TEXT,
    lease TEXT,
    everything BIGINT NOT NULL,
    reason TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    released_at BIGINT,
    released_by TEXT,
    CHECK (everything = 1 OR user_name IS NOT NULL OR role IS NOT NULL OR launcher IS NOT NULL)
);
INSERT INTO changes (topic, version) VALUES ('holds', 0);
CREATE TRIGGER holds_placed AFTER INSERT ON holds BEGIN
    UPDATE changes SET version = version + 1 WHERE topic = 'holds';
END;
CREATE TRIGGER holds_released AFTER UPDATE OF released_at ON holds
WHEN new.released_at IS NOT NULL AND old.released_at IS NULL BEGIN
    UPDATE changes SET version = version + 1 WHERE topic = 'holds';
END;
