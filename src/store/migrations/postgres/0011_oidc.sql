-- What a sign-in through OpenID Connect must repeat (nonce, PKCE verifier), sealed for this very request.
ALTER TABLE requests ADD COLUMN secret BYTEA;

-- The tokens of a session's sign-in, sealed. `claimant` alone may refresh them, until `claimed_until`: a refresh
-- token that its provider rotates can be redeemed once.
CREATE TABLE oidc_tokens (
    session TEXT PRIMARY KEY NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    id_token BYTEA NOT NULL,
    refresh_token BYTEA,
    refresh_at BIGINT NOT NULL,
    claimant TEXT,
    claimed_until BIGINT
);
CREATE INDEX oidc_tokens_due ON oidc_tokens (refresh_at);
