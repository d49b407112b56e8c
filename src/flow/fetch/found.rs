//! What a look-up found, and for how long the next fetch may be given the same.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::flow::issue;
use crate::model::Credentials;

/// Credentials for a fetch, and until when the next fetch may be given the same without a look.
pub(super) struct Found {
    pub(super) credentials: Arc<Credentials>,
    pub(super) keep_until: DateTime<Utc>,
}

impl Found {
    /// For this fetch alone, so that newer ones take their place at once.
    pub(super) fn once(credentials: Credentials) -> Self {
        Self {
            credentials: Arc::new(credentials),
            keep_until: DateTime::<Utc>::MIN_UTC,
        }
    }
}

impl From<issue::Found> for Found {
    fn from(found: issue::Found) -> Self {
        match found {
            issue::Found::Hot(hot) => Self {
                credentials: Arc::clone(&hot.credentials),
                keep_until: hot.renew_at(),
            },
            issue::Found::Older(older) => Self::once(older),
        }
    }
}
