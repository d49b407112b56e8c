-- The master keys that this database has seen, never the keys themselves: `id` is what every value sealed under one
-- begins with, `sealed` a check that only the key opens. One of them seals; a former one only opens, until nothing is
-- sealed under it and it is retired.
CREATE TABLE sealing_keys (
    id BLOB PRIMARY KEY NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('current', 'former', 'retired')),
    sealed BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    replaced_at BIGINT,
    retired_at BIGINT
);
CREATE UNIQUE INDEX sealing_keys_current ON sealing_keys (state) WHERE state = 'current';

-- The gateways at work, with the master keys that each holds: nothing is sealed under a key that one of them lacks.
CREATE TABLE gateways (
    claimant TEXT PRIMARY KEY NOT NULL,
    host TEXT NOT NULL,
    version TEXT NOT NULL,
    key_ids TEXT NOT NULL,
    heard_at BIGINT NOT NULL
);

INSERT INTO changes (topic, version) VALUES ('sealing', 0);
CREATE TRIGGER sealing_keys_added AFTER INSERT ON sealing_keys BEGIN
    UPDATE changes SET version = version + 1 WHERE topic = 'sealing';
END;
CREATE TRIGGER sealing_keys_changed AFTER UPDATE ON sealing_keys BEGIN
    UPDATE changes SET version = version + 1 WHERE topic = 'sealing';
END;

-- What is sealed under a key is found by this, however many rows there are.
CREATE INDEX sessions_parts_key ON sessions (substr(parts, 1, 4));
CREATE INDEX credentials_sealed_key ON credentials (substr(sealed, 1, 4));
CREATE INDEX idempotency_sealed_key ON idempotency (substr(sealed, 1, 4));
CREATE INDEX oidc_tokens_id_token_key ON oidc_tokens (substr(id_token, 1, 4));
CREATE INDEX oidc_tokens_refresh_token_key ON oidc_tokens (substr(refresh_token, 1, 4));
CREATE INDEX requests_secret_key ON requests (substr(secret, 1, 4));
CREATE INDEX refusals_sealed_key ON refusals (substr(sealed, 1, 4));
CREATE INDEX assignments_sealed_key ON assignments (substr(sealed, 1, 4));

-- Nothing comes in under a retired key: a gateway that has not heard of the change yet is refused, and seals anew.
CREATE TRIGGER meta_value_sealed_added BEFORE INSERT ON meta
WHEN EXISTS (SELECT 1 FROM sealing_keys WHERE id = substr(new.value, 1, 4) AND state = 'retired') BEGIN
    SELECT RAISE(ABORT, 'sealed under a retired master key');
END;
CREATE TRIGGER meta_value_sealed_changed BEFORE UPDATE OF value ON meta
WHEN EXISTS (SELECT 1 FROM sealing_keys WHERE id = substr(new.value, 1, 4) AND state = 'retired') BEGIN
    SELECT RAISE(ABORT, 'sealed under a retired master key');
END;
CREATE TRIGGER sessions_parts_sealed_added BEFORE INSERT ON sessions
WHEN EXISTS (SELECT 1 FROM sealing_keys WHERE id = substr(new.parts, 1, 4) AND state = 'retired') BEGIN
    SELECT RAISE(ABORT, 'sealed under a retired master key');
END;
CREATE TRIGGER sessions_parts_sealed_changed BEFORE UPDATE OF parts ON sessions
WHEN EXISTS (SELECT 1 FROM sealing_keys WHERE id = substr(new.parts, 1, 4) AND state = 'retired') BEGIN
    SELECT RAISE(ABORT, 'sealed under a retired master key');
END;
CREATE TRIGGER credentials_sealed_sealed_added BEFORE INSERT ON credentials
WHEN EXISTS (SELECT 1 FROM sealing_keys WHERE id = substr(new.sealed, 1, 4) AND state = 'retired') BEGIN
    SELECT RAISE(ABORT, 'sealed under a retired master key');
END;
CREATE TRIGGER credentials_sealed_sealed_changed BEFORE UPDATE OF sealed ON credentials
WHEN EXISTS (SELECT 1 FROM sealing_keys WHERE id = substr(new.sealed, 1, 4) AND state = 'retired') BEGIN
    SELECT RAISE(ABORT, 'sealed under a retired master key');
END;
CREATE TRIGGER idempotency_sealed_sealed_added BEFORE INSERT ON idempotency
WHEN EXISTS (SELECT 1 FROM sealing_keys WHERE id = substr(new.sealed, 1, 4) AND state = 'retired') BEGIN
    SELECT RAISE(ABORT, 'sealed under a retired master key');
END;
CREATE TRIGGER idempotency_sealed_sealed_changed BEFORE UPDATE OF sealed ON idempotency
WHEN EXISTS (SELECT 1 FROM sealing_keys WHERE id = substr(new.sealed, 1, 4) AND state = 'retired') BEGIN
    SELECT RAISE(ABORT, 'sealed under a retired master key');
END;
CREATE TRIGGER oidc_tokens_id_token_sealed_added BEFORE INSERT ON oidc_tokens
WHEN EXISTS (SELECT 1 FROM sealing_keys WHERE id = substr(new.id_token, 1, 4) AND state = 'retired') BEGIN
    SELECT RAISE(ABORT, 'sealed under a retired master key');
END;
CREATE TRIGGER oidc_tokens_id_token_sealed_changed BEFORE UPDATE OF id_token ON oidc_tokens
WHEN EXISTS (SELECT 1 FROM sealing_keys WHERE id = substr(new.id_token, 1, 4) AND state = 'retired') BEGIN
    SELECT RAISE(ABORT, 'sealed under a retired master key');
END;
CREATE TRIGGER oidc_tokens_refresh_token_sealed_added BEFORE INSERT ON oidc_tokens
WHEN EXISTS (SELECT 1 FROM sealing_keys WHERE id = substr(new.refresh_token, 1, 4) AND state = 'retired') BEGIN
    SELECT RAISE(ABORT, 'sealed under a retired master key');
END;
CREATE TRIGGER oidc_tokens_refresh_token_sealed_changed BEFORE UPDATE OF refresh_token ON oidc_tokens
WHEN EXISTS (SELECT 1 FROM sealing_keys WHERE id = substr(new.refresh_token, 1, 4) AND state = 'retired') BEGIN
    SELECT RAISE(ABORT, 'sealed under a retired master key');
END;
CREATE TRIGGER requests_secret_sealed_added BEFORE INSERT ON requests
WHEN EXISTS (SELECT 1 FROM sealing_keys WHERE id = substr(new.secret, 1, 4) AND state = 'retired') BEGIN
    SELECT RAISE(ABORT, 'sealed under a retired master key');
END;
CREATE TRIGGER requests_secret_sealed_changed BEFORE UPDATE OF secret ON requests
WHEN EXISTS (SELECT 1 FROM sealing_keys WHERE id = substr(new.secret, 1, 4) AND state = 'retired') BEGIN
    SELECT RAISE(ABORT, 'sealed under a retired master key');
END;
CREATE TRIGGER refusals_sealed_sealed_added BEFORE INSERT ON refusals
WHEN EXISTS (SELECT 1 FROM sealing_keys WHERE id = substr(new.sealed, 1, 4) AND state = 'retired') BEGIN
    SELECT RAISE(ABORT, 'sealed under a retired master key');
END;
CREATE TRIGGER refusals_sealed_sealed_changed BEFORE UPDATE OF sealed ON refusals
WHEN EXISTS (SELECT 1 FROM sealing_keys WHERE id = substr(new.sealed, 1, 4) AND state = 'retired') BEGIN
    SELECT RAISE(ABORT, 'sealed under a retired master key');
END;
CREATE TRIGGER idp_metadata_document_sealed_added BEFORE INSERT ON idp_metadata
WHEN EXISTS (SELECT 1 FROM sealing_keys WHERE id = substr(new.document, 1, 4) AND state = 'retired') BEGIN
    SELECT RAISE(ABORT, 'sealed under a retired master key');
END;
CREATE TRIGGER idp_metadata_document_sealed_changed BEFORE UPDATE OF document ON idp_metadata
WHEN EXISTS (SELECT 1 FROM sealing_keys WHERE id = substr(new.document, 1, 4) AND state = 'retired') BEGIN
    SELECT RAISE(ABORT, 'sealed under a retired master key');
END;
CREATE TRIGGER service_keys_sealed_sealed_added BEFORE INSERT ON service_keys
WHEN EXISTS (SELECT 1 FROM sealing_keys WHERE id = substr(new.sealed, 1, 4) AND state = 'retired') BEGIN
    SELECT RAISE(ABORT, 'sealed under a retired master key');
END;
CREATE TRIGGER service_keys_sealed_sealed_changed BEFORE UPDATE OF sealed ON service_keys
WHEN EXISTS (SELECT 1 FROM sealing_keys WHERE id = substr(new.sealed, 1, 4) AND state = 'retired') BEGIN
    SELECT RAISE(ABORT, 'sealed under a retired master key');
END;
CREATE TRIGGER relay_keys_sealed_sealed_added BEFORE INSERT ON relay_keys
WHEN EXISTS (SELECT 1 FROM sealing_keys WHERE id = substr(new.sealed, 1, 4) AND state = 'retired') BEGIN
    SELECT RAISE(ABORT, 'sealed under a retired master key');
END;
CREATE TRIGGER relay_keys_sealed_sealed_changed BEFORE UPDATE OF sealed ON relay_keys
WHEN EXISTS (SELECT 1 FROM sealing_keys WHERE id = substr(new.sealed, 1, 4) AND state = 'retired') BEGIN
    SELECT RAISE(ABORT, 'sealed under a retired master key');
END;
CREATE TRIGGER assignments_sealed_sealed_added BEFORE INSERT ON assignments
WHEN EXISTS (SELECT 1 FROM sealing_keys WHERE id = substr(new.sealed, 1, 4) AND state = 'retired') BEGIN
    SELECT RAISE(ABORT, 'sealed under a retired master key');
END;
CREATE TRIGGER assignments_sealed_sealed_changed BEFORE UPDATE OF sealed ON assignments
WHEN EXISTS (SELECT 1 FROM sealing_keys WHERE id = substr(new.sealed, 1, 4) AND state = 'retired') BEGIN
    SELECT RAISE(ABORT, 'sealed under a retired master key');
END;
