//! Renews what jobs use, ahead of its end, whether or not a job asks just then.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::MissedTickBehavior;

use super::{Fetch, FetchError, granted, request_of};
use crate::model::TokenHash;

/// How often it is looked for credentials that are due for renewal, and how many are looked at together.
const RENEWAL: Duration = Duration::from_millis(500);
const RENEWALS: usize = 64;

impl Fetch {
    /// Has credentials that are in use renewed ahead of their end, until the process ends.
    pub async fn renew_in_time(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(RENEWAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if !self.parts.pulse.is_current() {
                continue;
            }
            let due = self.parts.issuer.take_due();
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
        }
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
