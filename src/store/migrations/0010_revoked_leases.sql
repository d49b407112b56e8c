-- A lease that is revoked is told to gateways by itself, so that what they keep of all others stands.
CREATE TABLE revoked_leases (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    token BLOB NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX revoked_leases_age ON revoked_leases (at);
DROP TRIGGER leases_revoked;
CREATE TRIGGER leases_revoked AFTER UPDATE OF revoked_at ON leases
WHEN new.revoked_at IS NOT NULL AND old.revoked_at IS NULL BEGIN
    INSERT INTO revoked_leases (token, at) VALUES (new.token, new.revoked_at);
END;

-- When a token of the relay's last left rolegate for this lease: what it was redeemed for is not known here.
ALTER TABLE leases ADD COLUMN token_left_at BIGINT;
