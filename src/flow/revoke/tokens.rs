//! API tokens that are revoked, with the leases that launchers of their name made where that is asked for.

use futures_util::future::try_join_all;

use super::records::{EVENTS, lease_revoked, token_event};
use super::{Revoke, RevokeOrder, RevokedView, Selector};
use crate::audit::EventKind;
use crate::model::{TokenId, TokenName};
use crate::store::{RevokeTokensError, RevokedTokens, StoreError};

const REASON: &str = "the launcher's token was revoked";

/// What became of tokens and leases.
#[derive(Debug)]
pub struct TokensView {
    /// The tokens that were revoked, now or within the ten minutes before.
    pub tokens: Vec<TokenId>,
    /// The launcher and what revoking its leases hit, where that was asked for.
    pub leases: Option<(TokenName, RevokedView)>,
}

impl Revoke {
    /// Revokes the token of this id, or every token of this name, in the name of `by`; with `leases` also every lease
    /// that launchers of its name made.
    ///
    /// # Errors
    ///
    /// Where there is no such token, its leases are another's too, or the store does not answer. What the store has
    /// done stands where the audit could not be told; the call can be repeated, and tells it.
    pub async fn tokens(
        &self,
        name_or_id: &str,
        leases: bool,
        by: &str,
    ) -> Result<TokensView, RevokeTokensError> {
        let done = self.store.revoke_tokens(name_or_id, leases).await?;
        let taken_up = self.take_up().await;
        self.audit_tokens(&done, by).await?;
        taken_up?;
        let all = done.tokens.iter().chain(&done.before);
        Ok(TokensView {
            tokens: all.map(|token| token.id.clone()).collect(),
            leases: done.leases.map(|leases| {
                let selector = Selector::Launcher(leases.launcher.clone());
                let view = RevokedView::of(&selector, &leases.revocation);
                (leases.launcher, view)
            }),
        })
    }

    /// One event for each token, then what a revocation of leases leaves.
    async fn audit_tokens(&self, done: &RevokedTokens, by: &str) -> Result<(), StoreError> {
        let event = |token, more| token_event(EventKind::TokenRevoked, token, more, by);
        let now = done.tokens.iter().map(|token| event(token, ""));
        let before = done.before.iter();
        let before = before.map(|token| event(token, ", revoked before"));
        let leases = done.leases.iter().flat_map(|leases| &leases.before);
        let leases = leases.map(|lease| lease_revoked(lease, "revoked before", by));
        let events = now.chain(before).chain(leases.take(EVENTS));
        try_join_all(events.map(|event| self.recorder.record(event))).await?;
        let Some(leases) = &done.leases else {
            return Ok(());
        };
        let order = RevokeOrder {
            reason: REASON,
            by,
            hold: false,
        };
        let selector = Selector::Launcher(leases.launcher.clone());
        self.audit(&selector, &leases.revocation, order).await
    }
}
