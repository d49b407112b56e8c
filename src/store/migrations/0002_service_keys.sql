-- rolegate's own SAML key pairs; the private half is sealed, bound to id, use and certificate.
CREATE TABLE service_keys (
    id TEXT PRIMARY KEY NOT NULL,
    usage TEXT NOT NULL CHECK (usage IN ('signing', 'encryption')),
    certificate TEXT NOT NULL,
    sealed BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    not_after BIGINT NOT NULL
);
INSERT INTO changes (topic, version) VALUES ('keys', 0);
CREATE TRIGGER service_keys_added AFTER INSERT ON service_keys BEGIN
    UPDATE changes SET version = version + 1 WHERE topic = 'keys';
END;
CREATE TRIGGER service_keys_removed AFTER DELETE ON service_keys BEGIN
    UPDATE changes SET version = version + 1 WHERE topic = 'keys';
END;
