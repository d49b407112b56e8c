//! The planner: how long a lease would be served, told before its job starts.

use chrono::{DateTime, Utc};

use super::{Fetch, FetchError, granted, request_of};
use crate::model::{Lease, Method, Subject};

/// What a lease may count on.
pub struct Prospect {
    /// How its credentials are had.
    pub method: Method,
    /// When they stop for good.
    pub ends_at: DateTime<Utc>,
    /// What makes them stop.
    pub limited_by: &'static str,
}

impl Fetch {
    /// How long `lease` would be served, which need not be made yet. Credentials are had at once, so that what
    /// AWS refuses is told before the job starts; only that AWS does not answer is no reason against it.
    pub async fn prospect(&self, subject: &Subject, lease: &Lease) -> Result<Prospect, FetchError> {
        self.require_pulse()?;
        let launcher = lease.launcher.as_ref();
        self.parts
            .holds
            .permit(&lease.person, &lease.role, launcher)?;
        let request = request_of(lease, self.parts.clock.now());
        let grant = granted(subject, &request, &self.parts.allow_list.rules())?;
        let (method, renewable) = (grant.method(), grant.is_renewable());
        let (ends_at, limit) = (grant.ends_at(), grant.limit().as_str());
        let issued = self.credentials_for(subject, grant, None).await;
        let (ends_at, limited_by) = match issued {
            Ok(found) if !renewable && found.credentials.expires_at < ends_at => {
                (found.credentials.expires_at, "credentials")
            }
            Ok(_) => (ends_at, limit),
            Err(FetchError::Pending(_) | FetchError::StsAway { .. }) if renewable => {
                (ends_at, limit)
            }
            Err(error) => return Err(error),
        };
        Ok(Prospect {
            method,
            ends_at,
            limited_by,
        })
    }
}
