//! A session and a lease as lists show them, over the API as on the command line: everything but their tokens.

use serde::Serialize;

use crate::model::{Lease, rfc3339};
use crate::store::SessionRow;

/// A session in a list; times are RFC 3339 with whole seconds.
#[derive(Debug, Serialize)]
pub struct SessionView {
    session: String,
    user: String,
    idp: String,
    state: &'static str,
    signed_in_at: String,
    expires_at: String,
    ended_at: Option<String>,
}

impl From<SessionRow> for SessionView {
    fn from(row: SessionRow) -> Self {
        Self {
            session: row.id.to_string(),
            user: row.person.user.to_string(),
            idp: row.person.idp.to_string(),
            state: row.state.as_str(),
            signed_in_at: rfc3339(row.signed_in_at),
            expires_at: rfc3339(row.expires_at),
            ended_at: row.ended_at.map(rfc3339),
        }
    }
}

/// A lease in a list; times are RFC 3339 with whole seconds.
#[derive(Debug, Serialize)]
pub struct LeaseView {
    lease: String,
    user: String,
    idp: String,
    role_arn: String,
    job: String,
    launcher: Option<String>,
    created_at: String,
    expires_at: String,
    revoked_at: Option<String>,
}

impl From<Lease> for LeaseView {
    fn from(lease: Lease) -> Self {
        Self {
            lease: lease.id.to_string(),
            user: lease.person.user.to_string(),
            idp: lease.person.idp.to_string(),
            role_arn: lease.role.to_string(),
            job: lease.job.to_string(),
            launcher: lease.launcher.map(|name| name.to_string()),
            created_at: rfc3339(lease.created_at),
            expires_at: rfc3339(lease.expires_at),
            revoked_at: lease.revoked_at.map(rfc3339),
        }
    }
}
