-- The keys that relay tokens are signed with; the private half is sealed, bound to id and public half. `number`
-- is one more than the predecessor's, so that two processes cannot both make the next one.
CREATE TABLE relay_keys (
    id TEXT PRIMARY KEY NOT NULL,
    number BIGINT UNIQUE NOT NULL,
    public_jwk TEXT NOT NULL,
    sealed BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    signs_from BIGINT NOT NULL,
    retired_at BIGINT
);
CREATE TRIGGER relay_keys_added AFTER INSERT ON relay_keys BEGIN
    UPDATE changes SET version = version + 1 WHERE topic = 'keys';
END;
CREATE TRIGGER relay_keys_changed AFTER UPDATE ON relay_keys BEGIN
    UPDATE changes SET version = version + 1 WHERE topic = 'keys';
END;
CREATE TRIGGER relay_keys_removed AFTER DELETE ON relay_keys BEGIN
    UPDATE changes SET version = version + 1 WHERE topic = 'keys';
END;
