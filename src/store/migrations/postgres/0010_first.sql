-- The schema of PostgreSQL as of number 10; what SQLite's first ten say one after the other. Later numbers are
-- the same change on both. Times are unix milliseconds. Applied migrations are never edited.

-- Whoever writes what gateways keep in memory goes one after the other, as on SQLite: feeds are read by position,
-- so positions must become visible in their order. Held until the transaction ends, and taken before any row.
CREATE FUNCTION one_writer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7805346112034);
    RETURN NULL;
END $$;

-- Raises the counter of the topic that the trigger names, and wakes who listens. Once in a transaction, however many
-- rows that changes: raised for each, its row would have a version for each that all later ones must look at, and
-- ending some ten thousand sessions would take longer than a statement may.
CREATE FUNCTION raise_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE changes SET version = version + 1
    WHERE topic = TG_ARGV[0] AND xmin <> pg_current_xact_id()::xid;
    PERFORM pg_notify('rolegate', '');
    RETURN NULL;
END $$;

CREATE TABLE meta (
    name TEXT PRIMARY KEY NOT NULL,
    value BYTEA NOT NULL
);

CREATE TABLE changes (
    topic TEXT PRIMARY KEY NOT NULL,
    version BIGINT NOT NULL
);
INSERT INTO changes (topic, version) VALUES ('entries', 0), ('access', 0), ('keys', 0), ('holds', 0);

CREATE TABLE replay_ids (
    id BYTEA PRIMARY KEY NOT NULL,
    expires_at BIGINT NOT NULL,
    accepted_at BIGINT
);
CREATE INDEX replay_ids_expiry ON replay_ids (expires_at);

CREATE TABLE requests (
    id TEXT PRIMARY KEY NOT NULL,
    idp TEXT NOT NULL,
    binding BYTEA NOT NULL,
    return_to TEXT,
    expires_at BIGINT NOT NULL
);
CREATE INDEX requests_expiry ON requests (expires_at);

CREATE TABLE sessions (
    id TEXT PRIMARY KEY NOT NULL,
    idp TEXT NOT NULL,
    user_name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'confirmed')),
    token BYTEA UNIQUE,
    confirm BYTEA UNIQUE,
    parts BYTEA NOT NULL,
    signed_in_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    name_id BYTEA
);
CREATE INDEX sessions_person ON sessions (user_name, idp, signed_in_at);
CREATE INDEX sessions_expiry ON sessions (expires_at);
CREATE INDEX sessions_name_id ON sessions (name_id) WHERE name_id IS NOT NULL;

CREATE TABLE credentials (
    issue_key TEXT PRIMARY KEY NOT NULL,
    session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    claimant TEXT,
    claimed_at BIGINT,
    access_key_id TEXT,
    sealed BYTEA,
    issued_at BIGINT,
    expires_at BIGINT,
    failure TEXT,
    failed_at BIGINT,
    method TEXT NOT NULL DEFAULT 'saml',
    kind TEXT NOT NULL DEFAULT ''
);
CREATE INDEX credentials_session ON credentials (session, role);
CREATE INDEX credentials_expiry ON credentials (expires_at);

CREATE TABLE entries (
    position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT UNIQUE NOT NULL,
    version BIGINT NOT NULL,
    draft TEXT NOT NULL
);
CREATE TABLE entry_history (
    position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entry TEXT NOT NULL,
    version BIGINT NOT NULL,
    action TEXT NOT NULL,
    changed_at BIGINT NOT NULL,
    changed_by TEXT NOT NULL,
    reason TEXT,
    before TEXT,
    after TEXT
);
CREATE INDEX entry_history_entry ON entry_history (entry, position);

CREATE TABLE tokens (
    id TEXT PRIMARY KEY NOT NULL,
    hash BYTEA UNIQUE NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    for_roles TEXT,
    for_users TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
);
CREATE INDEX tokens_name ON tokens (name);

CREATE TABLE leases (
    id TEXT PRIMARY KEY NOT NULL,
    token BYTEA UNIQUE NOT NULL,
    idp TEXT NOT NULL,
    user_name TEXT NOT NULL,
    role TEXT NOT NULL,
    job TEXT NOT NULL,
    launcher TEXT,
    duration_seconds BIGINT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    revoke_reason TEXT,
    narrowing TEXT NOT NULL DEFAULT '',
    token_left_at BIGINT
);
CREATE INDEX leases_user ON leases (user_name, idp);
CREATE INDEX leases_job ON leases (job);
CREATE INDEX leases_expiry ON leases (expires_at);
CREATE INDEX leases_role ON leases (role);

CREATE TABLE audit (
    seq BIGINT PRIMARY KEY NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    reference TEXT,
    record TEXT NOT NULL,
    hash BYTEA NOT NULL,
    mac BYTEA NOT NULL
);
CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_reference ON audit (reference) WHERE reference IS NOT NULL;

CREATE TABLE service_keys (
    id TEXT PRIMARY KEY NOT NULL,
    usage TEXT NOT NULL CHECK (usage IN ('signing', 'encryption')),
    certificate TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    not_after BIGINT NOT NULL
);

CREATE TABLE refusals (
    position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reference TEXT UNIQUE NOT NULL,
    signed BIGINT NOT NULL,
    refused_at BIGINT NOT NULL,
    sealed BYTEA NOT NULL
);
CREATE INDEX refusals_newest ON refusals (signed, position);
CREATE INDEX refusals_age ON refusals (refused_at);

CREATE TABLE idp_metadata (
    idp TEXT NOT NULL,
    source TEXT NOT NULL,
    document BYTEA,
    etag TEXT,
    last_modified TEXT,
    fetched_at BIGINT,
    failure TEXT,
    failed_at BIGINT,
    PRIMARY KEY (idp, source)
);

CREATE TABLE idempotency (
    owner TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    request BYTEA NOT NULL,
    lease TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (owner, idempotency_key)
);
CREATE INDEX idempotency_age ON idempotency (created_at);

CREATE TABLE arrivals (
    position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    idp TEXT NOT NULL,
    user_name TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX arrivals_age ON arrivals (at);

CREATE TABLE revoked_leases (
    position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token BYTEA NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX revoked_leases_age ON revoked_leases (at);

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

CREATE TABLE logins (
    device BYTEA PRIMARY KEY NOT NULL,
    user_code BYTEA UNIQUE NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'denied')),
    session TEXT REFERENCES sessions (id) ON DELETE CASCADE,
    address TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    polled_at BIGINT
);
CREATE INDEX logins_expiry ON logins (expires_at);
CREATE INDEX logins_address ON logins (address);
CREATE INDEX logins_session ON logins (session) WHERE session IS NOT NULL;

CREATE TABLE session_tokens (
    hash BYTEA PRIMARY KEY NOT NULL,
    session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    address TEXT NOT NULL
);
CREATE INDEX session_tokens_session ON session_tokens (session);

CREATE TABLE relay_keys (
    id TEXT PRIMARY KEY NOT NULL,
    number BIGINT UNIQUE NOT NULL,
    public_jwk TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    signs_from BIGINT NOT NULL,
    retired_at BIGINT
);

-- One writer at a time, for every table whose writes raise a counter or go into a feed.
CREATE TRIGGER entries_in_turn BEFORE INSERT OR UPDATE OR DELETE ON entries
    FOR EACH STATEMENT EXECUTE FUNCTION one_writer();
CREATE TRIGGER sessions_in_turn BEFORE INSERT OR UPDATE OR DELETE ON sessions
    FOR EACH STATEMENT EXECUTE FUNCTION one_writer();
CREATE TRIGGER tokens_in_turn BEFORE INSERT OR UPDATE OR DELETE ON tokens
    FOR EACH STATEMENT EXECUTE FUNCTION one_writer();
CREATE TRIGGER leases_in_turn BEFORE UPDATE OF revoked_at ON leases
    FOR EACH STATEMENT EXECUTE FUNCTION one_writer();
CREATE TRIGGER service_keys_in_turn BEFORE INSERT OR UPDATE OR DELETE ON service_keys
    FOR EACH STATEMENT EXECUTE FUNCTION one_writer();
CREATE TRIGGER relay_keys_in_turn BEFORE INSERT OR UPDATE OR DELETE ON relay_keys
    FOR EACH STATEMENT EXECUTE FUNCTION one_writer();
CREATE TRIGGER holds_in_turn BEFORE INSERT OR UPDATE OR DELETE ON holds
    FOR EACH STATEMENT EXECUTE FUNCTION one_writer();
CREATE TRIGGER session_tokens_in_turn BEFORE INSERT OR UPDATE OR DELETE ON session_tokens
    FOR EACH STATEMENT EXECUTE FUNCTION one_writer();

CREATE TRIGGER arrivals_in_turn BEFORE INSERT ON arrivals
    FOR EACH STATEMENT EXECUTE FUNCTION one_writer();
CREATE TRIGGER revoked_leases_in_turn BEFORE INSERT ON revoked_leases
    FOR EACH STATEMENT EXECUTE FUNCTION one_writer();

CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('rolegate', '');
    RETURN NULL;
END $$;
CREATE TRIGGER arrivals_told AFTER INSERT ON arrivals
    FOR EACH STATEMENT EXECUTE FUNCTION tell();
CREATE TRIGGER revoked_leases_told AFTER INSERT ON revoked_leases
    FOR EACH STATEMENT EXECUTE FUNCTION tell();

CREATE TRIGGER entries_changed AFTER INSERT OR UPDATE OR DELETE ON entries
    FOR EACH ROW EXECUTE FUNCTION raise_change('entries');
CREATE TRIGGER sessions_ended AFTER UPDATE OF ended_at, token ON sessions FOR EACH ROW
    WHEN ((new.ended_at IS NOT NULL AND old.ended_at IS NULL) OR (new.token IS NULL AND old.token IS NOT NULL))
    EXECUTE FUNCTION raise_change('access');
CREATE TRIGGER tokens_added AFTER INSERT ON tokens
    FOR EACH ROW EXECUTE FUNCTION raise_change('access');
CREATE TRIGGER tokens_revoked AFTER UPDATE OF revoked_at ON tokens FOR EACH ROW
    WHEN (new.revoked_at IS NOT NULL AND old.revoked_at IS NULL)
    EXECUTE FUNCTION raise_change('access');
CREATE TRIGGER service_keys_changed AFTER INSERT OR DELETE ON service_keys
    FOR EACH ROW EXECUTE FUNCTION raise_change('keys');
CREATE TRIGGER relay_keys_changed AFTER INSERT OR UPDATE OR DELETE ON relay_keys
    FOR EACH ROW EXECUTE FUNCTION raise_change('keys');
CREATE TRIGGER holds_placed AFTER INSERT ON holds
    FOR EACH ROW EXECUTE FUNCTION raise_change('holds');
CREATE TRIGGER holds_released AFTER UPDATE OF released_at ON holds FOR EACH ROW
    WHEN (new.released_at IS NOT NULL AND old.released_at IS NULL)
    EXECUTE FUNCTION raise_change('holds');
CREATE TRIGGER session_tokens_removed AFTER DELETE ON session_tokens
    FOR EACH ROW EXECUTE FUNCTION raise_change('access');

CREATE FUNCTION session_arrived() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO arrivals (idp, user_name, at) VALUES (new.idp, new.user_name, new.signed_in_at);
    RETURN NULL;
END $$;
CREATE TRIGGER sessions_opened AFTER INSERT ON sessions FOR EACH ROW
    WHEN (new.state = 'confirmed') EXECUTE FUNCTION session_arrived();
CREATE TRIGGER sessions_confirmed AFTER UPDATE OF state ON sessions FOR EACH ROW
    WHEN (new.state = 'confirmed' AND old.state = 'pending') EXECUTE FUNCTION session_arrived();

CREATE FUNCTION lease_revoked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO revoked_leases (token, at) VALUES (new.token, new.revoked_at);
    RETURN NULL;
END $$;
CREATE TRIGGER leases_revoked AFTER UPDATE OF revoked_at ON leases FOR EACH ROW
    WHEN (new.revoked_at IS NOT NULL AND old.revoked_at IS NULL) EXECUTE FUNCTION lease_revoked();

CREATE FUNCTION end_session_tokens() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM session_tokens WHERE session = new.id;
    DELETE FROM logins WHERE session = new.id;
    RETURN NULL;
END $$;
CREATE TRIGGER session_tokens_end AFTER UPDATE OF ended_at ON sessions FOR EACH ROW
    WHEN (new.ended_at IS NOT NULL AND old.ended_at IS NULL) EXECUTE FUNCTION end_session_tokens();
