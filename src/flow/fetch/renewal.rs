//! Renews what jobs use, ahead of its end, whether or not a job asks just then.

use std::sync::Arc;

use futures_util::StreamExt;

use super::{Fetch, FetchError, granted, request_of};
use crate::flow::issue::Due;
use crate::model::TokenHash;
use crate::policy::Grant;

/// How many are looked at together.
const RENEWALS: usize = 64;

impl Fetch {
    /// Has the credentials renewed that are in use and due for it by now; says how many were due.
    pub async fn renew_due(self: Arc<Self>) -> u64 {
        if !self.parts.pulse.is_current() {
            return 0;
        }
        let due = self.parts.issuer.take_due();
        let count = u64::try_from(due.len()).unwrap_or(u64::MAX);
        futures_util::stream::iter(due)
            .for_each_concurrent(RENEWALS, |due| self.renew(due))
            .await;
        count
    }

    /// Renews what the lease of `due` draws on, if it still may.
    async fn renew(&self, due: Due) {
        let issuer = &self.parts.issuer;
        let again = match self.renewable(&due.user).await {
            Ok(Some(grant)) => issuer.renew(grant, due).await.err(),
            Err(FetchError::StoreAway) => Some(due),
            // Whoever else uses them says so at its next fetch.
            Ok(None) | Err(_) => {
                due.hot.forget_user();
                None
            }
        };
        if let Some(due) = again {
            issuer.put_back_soon(due);
        }
    }

    /// What the lease behind `token` draws on, where that is renewed.
    async fn renewable(&self, token: &TokenHash) -> Result<Option<Grant>, FetchError> {
        let lease = self.live_lease(token).await?;
        let live = self.newest(&lease.person, &lease.role).await?;
        let request = request_of(&lease, self.parts.clock.now());
        let grant = granted(&live.subject, &request, &self.parts.allow_list.rules())?;
        Ok(grant.is_renewable().then_some(grant))
    }
}
