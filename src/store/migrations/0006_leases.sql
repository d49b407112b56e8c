-- What a lease's credentials are narrowed by (JSON; empty text: by nothing).
ALTER TABLE leases ADD COLUMN narrowing TEXT NOT NULL DEFAULT '';

-- A call that was made with an Idempotency-Key: repeating it within a day gives the same lease. `request`
-- is the hash of what was asked, `sealed` the token, which is shown again to who asked.
CREATE TABLE idempotency (
    owner TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    request BLOB NOT NULL,
    lease TEXT NOT NULL,
    sealed BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (owner, idempotency_key)
);
CREATE INDEX idempotency_age ON idempotency (created_at);

-- How credentials were had, and what they are the same kind as over all sessions of a person.
ALTER TABLE credentials ADD COLUMN method TEXT NOT NULL DEFAULT 'saml';
ALTER TABLE credentials ADD COLUMN kind TEXT NOT NULL DEFAULT '';

-- Who has a newer session than before: a gateway forgets what it knew of these persons.
CREATE TABLE arrivals (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    idp TEXT NOT NULL,
    user_name TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX arrivals_age ON arrivals (at);
CREATE TRIGGER sessions_opened AFTER INSERT ON sessions WHEN new.state = 'confirmed' BEGIN
    INSERT INTO arrivals (idp, user_name, at) VALUES (new.idp, new.user_name, new.signed_in_at);
END;
CREATE TRIGGER sessions_confirmed AFTER UPDATE OF state ON sessions
WHEN new.state = 'confirmed' AND old.state = 'pending' BEGIN
    INSERT INTO arrivals (idp, user_name, at) VALUES (new.idp, new.user_name, new.signed_in_at);
END;
CREATE INDEX leases_role ON leases (role);
