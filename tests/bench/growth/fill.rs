//! Rows by the hundred thousand: copies of what the store itself wrote, under other names, which nobody reads.

use super::side::Side;

/// Sessions with a lease and credentials each, and as many replay ids.
pub(crate) async fn sessions(side: &Side, count: usize) {
    let (id, bytes, patient) = if side.is_on_server {
        (
            "md5(random()::text || n)",
            "decode(md5(random()::text || n) || md5(random()::text), 'hex')",
            "SET statement_timeout = 0;",
        )
    } else {
        ("lower(hex(randomblob(16)))", "randomblob(32)", "")
    };
    let many = format!(
        "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < {count})"
    );
    side.run(format!(
        "{patient}
         INSERT INTO sessions (id, idp, user_name, state, token, parts, signed_in_at, expires_at)
         {many} SELECT 'ses_' || {id}, 'filler', 'user' || n || '@example.org', 'confirmed', {bytes},
             t.parts, t.signed_in_at, t.expires_at
         FROM many, (SELECT * FROM sessions ORDER BY id LIMIT 1) AS t"
    ))
    .await;
    side.run(format!(
        "{patient}
         INSERT INTO credentials (issue_key, session, role, method, kind, access_key_id, sealed, issued_at, expires_at)
         SELECT 'k' || s.id, s.id, t.role, t.method, t.kind, t.access_key_id, t.sealed, t.issued_at, t.expires_at
         FROM sessions s, (SELECT * FROM credentials ORDER BY issue_key LIMIT 1) AS t WHERE s.idp = 'filler'"
    ))
    .await;
    side.run(format!(
        "{patient}
         INSERT INTO leases (id, token, idp, user_name, role, job, launcher, created_at, expires_at)
         SELECT 'lea_' || substr(s.id, 5), s.token, s.idp, s.user_name, t.role, t.job, t.launcher, t.created_at, t.expires_at
         FROM sessions s, (SELECT * FROM leases ORDER BY id LIMIT 1) AS t WHERE s.idp = 'filler'"
    ))
    .await;
    side.run(format!(
        "{patient}
         INSERT INTO replay_ids (id, expires_at, accepted_at)
         SELECT s.token, s.expires_at, s.signed_in_at FROM sessions s WHERE s.idp = 'filler'"
    ))
    .await;
    if side.is_on_server {
        // As autovacuum would in a minute.
        side.run("ANALYZE".to_owned()).await;
    }
}

/// Audit records on a server, numbered before the chain's first: no check of the chain is meant to hold.
pub(crate) async fn records(side: &Side, count: usize) {
    side.run(format!(
        "SET statement_timeout = 0;
         INSERT INTO audit (seq, at, kind, reference, record, hash, mac)
         WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < {count})
         SELECT -n, t.at - n * 1000, t.kind, md5(n::text), t.record, t.hash, t.mac
         FROM many, (SELECT * FROM audit ORDER BY seq LIMIT 1) AS t"
    ))
    .await;
}

/// Has all of it be of long ago.
pub(crate) async fn run_out(side: &Side) {
    let patient = if side.is_on_server {
        "SET statement_timeout = 0;"
    } else {
        ""
    };
    for sql in [
        "UPDATE sessions SET signed_in_at = 1, expires_at = 1 WHERE idp = 'filler'",
        "UPDATE credentials SET expires_at = 1 WHERE issue_key LIKE 'kses_%'",
        "UPDATE leases SET expires_at = 1 WHERE idp = 'filler'",
        "UPDATE replay_ids SET expires_at = 1 WHERE id IN (SELECT token FROM sessions WHERE idp = 'filler')",
    ] {
        side.run(format!("{patient} {sql}")).await;
    }
}
