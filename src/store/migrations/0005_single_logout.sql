-- By what an IdP's logout request finds sessions: a hash of IdP and NameID.
ALTER TABLE sessions ADD COLUMN name_id BLOB;
CREATE INDEX sessions_name_id ON sessions (name_id) WHERE name_id IS NOT NULL;
