-- Sign-ins of command lines that wait for a browser's yes (RFC 8628); both codes as hashes.
CREATE TABLE logins (
    device BLOB PRIMARY KEY NOT NULL,
    user_code BLOB UNIQUE NOT NULL,
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

-- Further bearer tokens onto a session, beside the one of its row: a command line's. They end with it.
CREATE TABLE session_tokens (
    hash BLOB PRIMARY KEY NOT NULL,
    session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    address TEXT NOT NULL
);
CREATE INDEX session_tokens_session ON session_tokens (session);

CREATE TRIGGER session_tokens_removed AFTER DELETE ON session_tokens BEGIN
    UPDATE changes SET version = version + 1 WHERE topic = 'access';
END;
CREATE TRIGGER session_tokens_end AFTER UPDATE OF ended_at ON sessions
WHEN new.ended_at IS NOT NULL AND old.ended_at IS NULL BEGIN
    DELETE FROM session_tokens WHERE session = new.id;
    DELETE FROM logins WHERE session = new.id;
END;
