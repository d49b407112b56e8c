-- The audit is looked through by time, kind, user and IdP. `user_name` and `idp` repeat what the record says, as `at`,
-- `kind` and `reference` do, and `audit verify` holds them against it.
ALTER TABLE audit ADD COLUMN user_name TEXT;
ALTER TABLE audit ADD COLUMN idp TEXT;
UPDATE audit SET
    user_name = COALESCE(json_extract(record, '$.person.user'), json_extract(record, '$.user')),
    idp = COALESCE(json_extract(record, '$.person.idp'), json_extract(record, '$.idp'))
WHERE json_valid(record);

-- With the number, so that a range of time is answered by the index alone.
DROP INDEX audit_at;
CREATE INDEX audit_at ON audit (at, seq);
CREATE INDEX audit_kind ON audit (kind, seq);
CREATE INDEX audit_user ON audit (user_name, seq) WHERE user_name IS NOT NULL;
