//! Renews ID tokens ahead of need, where a live lease could draw on one.
//!
//! Every replica looks; the claim in the store elects who asks. A session that nobody needs a token of is put
//! off, so that it neither stands in the way of others nor costs its provider anything.

use std::sync::Arc;

use futures_util::StreamExt;

use super::{Claimed, IdTokens, TokenProblem, Wanted, schedule};
use crate::flow::fetch::{granted, request_of};
use crate::model::{IdpName, LeaseId, Method, SessionId, Subject};
use crate::store::StoreError;

/// How many are taken up in one round, and how many of them at once.
const ROUND: u32 = 500;
const AT_ONCE: usize = 4;
/// Leases that are read at once, and how often: a person has no more.
const PAGE: u32 = 500;
const PAGES: u32 = 100;

impl IdTokens {
    /// The OpenID providers, each of which has rounds of its own.
    pub fn idps(&self) -> Vec<IdpName> {
        let all = self.parts.providers.all().iter();
        all.map(|provider| provider.settings.name.clone()).collect()
    }

    /// One round: renews the ID tokens of `idp` that are due ahead of need; says how many sessions were.
    pub async fn refresh_due(self: &Arc<Self>, idp: &IdpName) -> Result<u64, StoreError> {
        let due = self.parts.store.due_refreshes(idp, ROUND).await?;
        let count = u64::try_from(due.len()).unwrap_or(u64::MAX);
        futures_util::stream::iter(due)
            .for_each_concurrent(AT_ONCE, |session| {
                let this = Arc::clone(self);
                // A task of its own, which goes to its end also where this one is stopped.
                let one = tokio::spawn(async move { this.refresh_one(&session).await });
                async move {
                    let _ended = one.await;
                }
            })
            .await;
        Ok(count)
    }

    /// What goes wrong was told where it did.
    async fn refresh_one(&self, session: &SessionId) -> Result<(), TokenProblem> {
        let now = self.parts.clock.now();
        if let Some(problem) = self.failures.of(session, now) {
            return Err(problem);
        }
        let subject = self.live(session).await?;
        let is_needed = self.is_needed(&subject).await?;
        let Claimed::Won(won) = self.claim(&subject, &self.claimant()).await? else {
            return Ok(());
        };
        if is_needed {
            self.redeem(*won, &Wanted::Early).await.map(drop)
        } else {
            self.release(&won, schedule::unneeded(now)).await;
            Ok(())
        }
    }

    /// Whether a live lease of the person would be served by web-identity.
    async fn is_needed(&self, subject: &Subject) -> Result<bool, StoreError> {
        let rules = self.parts.allow_list.rules();
        let now = self.parts.clock.now();
        let mut after: Option<LeaseId> = None;
        for _ in 0..PAGES {
            let store = &self.parts.store;
            let page = store.live_leases(subject.person(), after.as_ref(), PAGE);
            let page = page.await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            let needs = |lease: &crate::model::Lease| {
                let holds = &self.parts.holds;
                let launcher = lease.launcher.as_ref();
                holds.permit(&lease.person, &lease.role, launcher).is_ok()
                    && granted(subject, &request_of(lease, now), &rules)
                        .is_ok_and(|grant| grant.method() == Method::WebIdentity)
            };
            if page.iter().any(needs) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
