//! Signing a browser out at its OpenID provider (OpenID Connect RP-Initiated Logout 1.0).
//!
//! The address there may name the ID token, once that has ended; one that lives AWS would take from whoever has it,
//! and it never goes through a browser. It may stand in no page of ours, so the page leads to an address of
//! ours, which only the browser that signed out can use, once and within ten minutes.

use chrono::TimeDelta;

use super::{Logout, LogoutNext};
use crate::flow::sign_in::digest;
use crate::flow::{Provider, Unavailable};
use crate::model::{IdToken, Secret, Token, TokenKind, hex};
use crate::oidc::logout_url;
use crate::store::{LiveSession, SignInRequest, StoreError};

/// How long after its end an ID token is still kept from the browser: AWS's clock may be another.
const SPENT: TimeDelta = TimeDelta::minutes(10);

impl Logout {
    /// What [`Logout::begin`] gives for an OpenID provider; `None` where that signs nobody out, or the store
    /// does not answer: the sign-out here goes on all the same.
    pub(super) async fn begin_at_provider(
        &self,
        provider: &Provider,
        live: &LiveSession,
    ) -> Option<LogoutNext> {
        let begun = self.keep_way_out(provider, live).await;
        let begun = begun.inspect_err(|error| {
            tracing::error!(event = "store_away", %error, "a browser that signs out here is not signed out at its provider");
        });
        begun.ok().flatten()
    }

    async fn keep_way_out(
        &self,
        provider: &Provider,
        live: &LiveSession,
    ) -> Result<Option<LogoutNext>, StoreError> {
        let Some(metadata) = provider.metadata() else {
            return Ok(None);
        };
        let parts = &self.parts;
        let tokens = parts.store.oidc_tokens(live.subject.session()).await?;
        // Whoever holds a living ID token can redeem it at STS past the allow-list, the person too.
        let now = parts.clock.now();
        let is_spent = |token: &&IdToken| token.expires_at + SPENT <= now;
        let hint = tokens.as_ref().map(|tokens| &tokens.id_token);
        let hint = hint.filter(is_spent).map(|token| &token.jwt);
        let Some(url) = logout_url(&provider.settings, &metadata, hint, &parts.back_to) else {
            return Ok(None);
        };
        let mut id = [0; 16];
        parts.entropy.fill(&mut id);
        let id = format!("out-{}", hex(&id));
        let binding = Token::fresh(TokenKind::Session, &*parts.entropy);
        let name = provider.settings.name.clone();
        let path = format!("/oidc/{name}/logout?request={id}");
        let way_out = SignInRequest {
            id,
            idp: name,
            binding: digest(&binding.hash()),
            return_to: None,
            secret: Some(Secret::new(url.into())),
        };
        parts.store.save_request(way_out).await?;
        Ok(Some(LogoutNext {
            url: path,
            binding: Some(binding.into_secret()),
        }))
    }

    /// The address at `provider` that signs out the browser with the cookie `binding`; `None` where it was used,
    /// is older than ten minutes, or another browser's.
    pub async fn leave(
        &self,
        provider: &str,
        request: &str,
        binding: &str,
    ) -> Result<Option<String>, Unavailable> {
        let (Ok(provider), Ok(binding), true) = (
            provider.parse(),
            binding.parse::<Token>(),
            request.starts_with("out-"),
        ) else {
            return Ok(None);
        };
        let store = &self.parts.store;
        let taken = store
            .consume_request(request, &provider, &digest(&binding.hash()))
            .await?;
        let url = taken.as_ref().and_then(|taken| taken.secret());
        Ok(url.map(|url| url.expose().to_owned()))
    }
}
