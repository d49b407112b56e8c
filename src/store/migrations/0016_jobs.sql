-- Indexes for what is asked of tables that grow: removing what no longer counts, and revoking.
CREATE INDEX sessions_pending ON sessions (signed_in_at) WHERE state = 'pending';
CREATE INDEX sessions_age ON sessions (signed_in_at);
CREATE INDEX sessions_ended ON sessions (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX leases_revoked ON leases (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX leases_launcher ON leases (launcher, id) WHERE launcher IS NOT NULL;
CREATE INDEX leases_token_left ON leases (token_left_at) WHERE token_left_at IS NOT NULL;
CREATE INDEX credentials_role ON credentials (role);
CREATE INDEX holds_in_force ON holds (id) WHERE released_at IS NULL;
CREATE INDEX logins_pending ON logins (expires_at, device) WHERE state = 'pending';

-- A session that is removed long after its end takes its tokens with it: nothing that a gateway keeps in memory
-- rests on them any more, so that none has to forget everything for it.
DROP TRIGGER session_tokens_removed;
CREATE TRIGGER session_tokens_removed AFTER DELETE ON session_tokens
WHEN EXISTS (SELECT 1 FROM sessions WHERE id = old.session) BEGIN
    UPDATE changes SET version = version + 1 WHERE topic = 'access';
END;
