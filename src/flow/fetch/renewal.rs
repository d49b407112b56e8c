//! Renews what jobs use, ahead of its end, whether or not a job asks just then.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::MissedTickBehavior;

use super::{Fetch, FetchError, granted, request_of};
use crate::model::{IssueKey, TokenHash};

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
            let due = self.parts.issuer.take_due().await;
            futures_util::stream::iter(due)
                .for_each_concurrent(RENEWALS, |(key, token)| {
                    let fetch = Arc::clone(&self);
                    async move { fetch.renew(&key, &token).await }
                })
                .await;
        }
    }

    /// Renews what the lease behind `token` draws on, if it still may.
    async fn renew(&self, key: &IssueKey, token: &TokenHash) {
        let issuer = &self.parts.issuer;
        let done = async {
            let lease = self.live_lease(token).await?;
            let live = self.newest(&lease.person, &lease.role).await?;
            let request = request_of(&lease, self.parts.clock.now());
            let grant = granted(&live.subject, &request, &self.parts.allow_list.rules())?;
            let same = grant.is_renewable() && grant.issue_key() == *key;
            if grant.is_renewable() {
                issuer.renew(grant, token).await?;
            }
            Ok::<bool, FetchError>(same)
        };
        if !matches!(done.await, Ok(true)) {
            issuer.leave(key).await;
        }
    }
}
