//! One job's right to fetch credentials.

use chrono::{DateTime, Utc};

use super::{JobName, LeaseId, Narrowing, Person, RoleArn, SessionDuration, TokenName};

/// A lease as the store keeps it; its token is kept as a hash beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its identifier.
    pub id: LeaseId,
    /// Whose role it is.
    pub person: Person,
    /// The role.
    pub role: RoleArn,
    /// The job it is for.
    pub job: JobName,
    /// Who made it; `None` is the person.
    pub launcher: Option<TokenName>,
    /// The session length that was asked for.
    pub duration: Option<SessionDuration>,
    /// What its credentials are narrowed by.
    pub narrowing: Narrowing,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it stops.
    pub expires_at: DateTime<Utc>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}
