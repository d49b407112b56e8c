-- The audit is looked through by time, kind, user and IdP. `user_name` and `idp` repeat what the record says, as `at`,
-- `kind` and `reference` do, and `audit verify` holds them against it.
ALTER TABLE audit ADD COLUMN user_name TEXT;
ALTER TABLE audit ADD COLUMN idp TEXT;
-- By pattern: a record that was damaged must not stop a gateway from starting. Within a text a quote is escaped, so
-- that no other field can be mistaken for these.
UPDATE audit SET
    user_name = substring(record FROM '"user":"([A-Za-z0-9_+=,.@-]{2,64})"'),
    idp = substring(record FROM '"idp":"([A-Za-z0-9_.-]{1,64})"');

-- With the number, so that a range of time is answered by the index alone.
DROP INDEX audit_at;
CREATE INDEX audit_at ON audit (at, seq);
CREATE INDEX audit_kind ON audit (kind, seq);
CREATE INDEX audit_user ON audit (user_name, seq) WHERE user_name IS NOT NULL;
