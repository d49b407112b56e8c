//! Renews what jobs use, ahead of its end, whether or not a job asks just then.

use std::sync::Arc;

use futures_util::StreamExt;

use super::{Fetch, FetchError, granted, request_of};
use crate::model::TokenHash;

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
            .for_each_concurrent(RENEWALS, |(hot, token)| {
                let fetch = Arc::clone(&self);
                async move {
                    if fetch.renew(&token).await.is_err() {
                        // Whoever else uses them says so at its next fetch.
                        hot.forget_user();
                    }
                }
            })
            .await;
        count
    }

    /// Renews what the lease behind `token` draws on, if it still may.
    async fn renew(&self, token: &TokenHash) -> Result<(), FetchError> {
        let lease = self.live_lease(token).await?;
        let live = self.newest(&lease.person, &lease.role).await?;
        let request = request_of(&lease, self.parts.clock.now());
        let grant = granted(&live.subject, &request, &self.parts.allow_list.rules())?;
        if grant.is_renewable() {
            self.parts.issuer.renew(grant, token).await?;
        }
        Ok(())
    }
}
