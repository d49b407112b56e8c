-- The master keys that this database has seen, never the keys themselves: `id` is what every value sealed under one
-- begins with, `sealed` a check that only the key opens. One of them seals; a former one only opens, until nothing is
-- sealed under it and it is retired.
CREATE TABLE sealing_keys (
    id BYTEA PRIMARY KEY NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('current', 'former', 'retired')),
    sealed BYTEA NOT NULL,
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
CREATE TRIGGER sealing_keys_in_turn BEFORE INSERT OR UPDATE OR DELETE ON sealing_keys
    FOR EACH STATEMENT EXECUTE FUNCTION one_writer();
CREATE TRIGGER sealing_keys_changed AFTER INSERT OR UPDATE ON sealing_keys
    FOR EACH ROW EXECUTE FUNCTION raise_change('sealing');

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
-- The key's row is held until the writer commits, so that who retires the key waits and then sees what was written.
CREATE FUNCTION refuse_retired_key() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    value BYTEA;
    key_state TEXT;
BEGIN
    EXECUTE format('SELECT ($1).%I', TG_ARGV[0]) INTO value USING new;
    IF value IS NULL THEN
        RETURN new;
    END IF;
    SELECT state INTO key_state FROM sealing_keys WHERE id = substr(value, 1, 4) FOR KEY SHARE;
    IF key_state = 'retired' THEN
        RAISE EXCEPTION 'sealed under a retired master key';
    END IF;
    RETURN new;
END $$;
CREATE TRIGGER meta_value_sealed BEFORE INSERT OR UPDATE OF value ON meta
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_key('value');
CREATE TRIGGER sessions_parts_sealed BEFORE INSERT OR UPDATE OF parts ON sessions
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_key('parts');
CREATE TRIGGER credentials_sealed_sealed BEFORE INSERT OR UPDATE OF sealed ON credentials
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_key('sealed');
CREATE TRIGGER idempotency_sealed_sealed BEFORE INSERT OR UPDATE OF sealed ON idempotency
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_key('sealed');
CREATE TRIGGER oidc_tokens_id_token_sealed BEFORE INSERT OR UPDATE OF id_token ON oidc_tokens
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_key('id_token');
CREATE TRIGGER oidc_tokens_refresh_token_sealed BEFORE INSERT OR UPDATE OF refresh_token ON oidc_tokens
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_key('refresh_token');
CREATE TRIGGER requests_secret_sealed BEFORE INSERT OR UPDATE OF secret ON requests
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_key('secret');
CREATE TRIGGER refusals_sealed_sealed BEFORE INSERT OR UPDATE OF sealed ON refusals
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_key('sealed');
CREATE TRIGGER idp_metadata_document_sealed BEFORE INSERT OR UPDATE OF document ON idp_metadata
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_key('document');
CREATE TRIGGER service_keys_sealed_sealed BEFORE INSERT OR UPDATE OF sealed ON service_keys
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_key('sealed');
CREATE TRIGGER relay_keys_sealed_sealed BEFORE INSERT OR UPDATE OF sealed ON relay_keys
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_key('sealed');
CREATE TRIGGER assignments_sealed_sealed BEFORE INSERT OR UPDATE OF sealed ON assignments
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_key('sealed');
