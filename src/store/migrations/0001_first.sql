-- Times are unix milliseconds. Applied migrations are never edited; a change is a new file.

-- Sealed facts about the database itself: the check of the master key, the audit chain's key and head.
CREATE TABLE meta (
    name TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
);

-- How one process learns of another's edits; raised by the triggers below, so that no writer can forget.
CREATE TABLE changes (
    topic TEXT PRIMARY KEY NOT NULL,
    version BIGINT NOT NULL
);
INSERT INTO changes (topic, version) VALUES ('entries', 0), ('access', 0);

CREATE TABLE replay_ids (
    id BLOB PRIMARY KEY NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX replay_ids_expiry ON replay_ids (expires_at);

CREATE TABLE requests (
    id TEXT PRIMARY KEY NOT NULL,
    idp TEXT NOT NULL,
    binding BLOB NOT NULL,
    return_to TEXT,
    expires_at BIGINT NOT NULL
);
CREATE INDEX requests_expiry ON requests (expires_at);

CREATE TABLE sessions (
    id TEXT PRIMARY KEY NOT NULL,
    idp TEXT NOT NULL,
    user_name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'confirmed')),
    token BLOB UNIQUE,
    confirm BLOB UNIQUE,
    parts BLOB NOT NULL,
    signed_in_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX sessions_person ON sessions (user_name, idp, signed_in_at);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE credentials (
    issue_key TEXT PRIMARY KEY NOT NULL,
    session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    claimant TEXT,
    claimed_at BIGINT,
    access_key_id TEXT,
    sealed BLOB,
    issued_at BIGINT,
    expires_at BIGINT,
    failure TEXT,
    failed_at BIGINT
);
CREATE INDEX credentials_session ON credentials (session, role);
CREATE INDEX credentials_expiry ON credentials (expires_at);

CREATE TABLE entries (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT UNIQUE NOT NULL,
    version BIGINT NOT NULL,
    draft TEXT NOT NULL
);
CREATE TABLE entry_history (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
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
    hash BLOB UNIQUE NOT NULL,
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
    token BLOB UNIQUE NOT NULL,
    idp TEXT NOT NULL,
    user_name TEXT NOT NULL,
    role TEXT NOT NULL,
    job TEXT NOT NULL,
    launcher TEXT,
    duration_seconds BIGINT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    revoke_reason TEXT
);
CREATE INDEX leases_user ON leases (user_name, idp);
CREATE INDEX leases_job ON leases (job);
CREATE INDEX leases_expiry ON leases (expires_at);

-- `mac` is made with a key that is sealed in `meta`: whoever edits the file cannot make a new one.
CREATE TABLE audit (
    seq BIGINT PRIMARY KEY NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    reference TEXT,
    record TEXT NOT NULL,
    hash BLOB NOT NULL,
    mac BLOB NOT NULL
);
CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_reference ON audit (reference) WHERE reference IS NOT NULL;

CREATE TRIGGER entries_added AFTER INSERT ON entries BEGIN
    UPDATE changes SET version = version + 1 WHERE topic = 'entries';
END;
CREATE TRIGGER entries_changed AFTER UPDATE ON entries BEGIN
    UPDATE changes SET version = version + 1 WHERE topic = 'entries';
END;
CREATE TRIGGER entries_removed AFTER DELETE ON entries BEGIN
    UPDATE changes SET version = version + 1 WHERE topic = 'entries';
END;
CREATE TRIGGER sessions_ended AFTER UPDATE OF ended_at, token ON sessions
WHEN (new.ended_at IS NOT NULL AND old.ended_at IS NULL) OR (new.token IS NULL AND old.token IS NOT NULL) BEGIN
    UPDATE changes SET version = version + 1 WHERE topic = 'access';
END;
CREATE TRIGGER leases_revoked AFTER UPDATE OF revoked_at ON leases
WHEN new.revoked_at IS NOT NULL AND old.revoked_at IS NULL BEGIN
    UPDATE changes SET version = version + 1 WHERE topic = 'access';
END;
CREATE TRIGGER tokens_added AFTER INSERT ON tokens BEGIN
    UPDATE changes SET version = version + 1 WHERE topic = 'access';
END;
CREATE TRIGGER tokens_revoked AFTER UPDATE OF revoked_at ON tokens
WHEN new.revoked_at IS NOT NULL AND old.revoked_at IS NULL BEGIN
    UPDATE changes SET version = version + 1 WHERE topic = 'access';
END;
