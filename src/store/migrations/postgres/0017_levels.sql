-- What is live is counted from these alone, however much has ended and however large a row is.
CREATE INDEX IF NOT EXISTS sessions_live ON sessions (expires_at, state, ended_at)
    WHERE ended_at IS NULL AND state = 'confirmed';
CREATE INDEX IF NOT EXISTS leases_live ON leases (expires_at, revoked_at) WHERE revoked_at IS NULL;
