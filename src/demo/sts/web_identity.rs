//! `AssumeRoleWithWebIdentity`: an OIDC token of an issuer that IAM knows, verified for real.

use std::collections::HashMap;

use super::Inner;
use super::answer::{Failure, element};
use super::checks::Checks;
use super::context::Context;
use super::fault::Fault;
use super::issue::Request;
use super::parameters::{Asked, session_name, sized};
use super::policy::Principal;
use super::settings::OidcProvider;
use super::token::{self, Claims};

const ACTION: &str = "AssumeRoleWithWebIdentity";

impl Inner {
    /// The result's XML.
    pub(super) async fn assume_role_with_web_identity(
        &self,
        form: &HashMap<String, String>,
        checks: &mut Checks,
        fault: &Fault,
    ) -> Result<String, Failure> {
        let asked = checks.note("parameters", Asked::read(form))?;
        let name = checks.note("RoleSessionName", session_name(form))?;
        checks.require("no ProviderId", !form.contains_key("ProviderId"), || {
            Failure::invalid("ProviderId must not be specified for OpenID Connect tokens")
        })?;
        let text = sized(form, "WebIdentityToken", "webIdentityToken", 4..=20_000);
        let text = checks.note("WebIdentityToken", text)?;
        let issuer = checks.note("a JWT with iss", token::issuer(text))?;
        let provider = checks.note("provider", self.oidc_provider(&issuer, &asked))?;
        let keys = checks.note("keys of the issuer", self.issuer_keys.of(&issuer).await)?;
        let claims = checks.note("signature", token::verified(text, &keys))?;
        let audience = self.held(provider, &claims, checks)?;
        let named = claims.names_role(asked.role.as_str());
        let denied = || Failure::denied(ACTION);
        checks.require("role among the token's roles", named != Some(false), denied)?;
        let subject = checks.note("sub", claims.text("sub"))?;
        let tags = checks.note("session tags", claims.tags())?;
        let source_identity = checks.note("SourceIdentity", claims.source_identity())?;
        let key = |claim: &str| format!("{}:{claim}", provider.name());
        let request = Request {
            action: ACTION,
            asked: &asked,
            principal: Principal::Federated(provider.arn.clone()),
            context: Context::default()
                .with(&key("aud"), Some(audience))
                .with(&key("sub"), Some(subject))
                .with("aws:FederatedProvider", Some(&provider.arn))
                .with("sts:RoleAuthorizedByIdp", named.map(|_| "true")),
            session_name: &name,
            tags,
            source_identity: source_identity.clone(),
            end: None,
            chained: false,
            denied: &Failure::denied,
        };
        let made = self.issue(request, "trust policy", checks, fault)?;
        let audience = if *fault == Fault::WrongAudience {
            "another.example.org"
        } else {
            audience
        };
        let named =
            source_identity.map_or_else(String::new, |name| element("SourceIdentity", &name));
        Ok([
            element("SubjectFromWebIdentityToken", subject),
            element("Audience", audience),
            made.user,
            made.credentials,
            element("Provider", &provider.arn),
            made.packed,
            named,
        ]
        .concat())
    }

    /// The provider in the role's account that is for `issuer`.
    fn oidc_provider(&self, issuer: &str, asked: &Asked<'_>) -> Result<&OidcProvider, Failure> {
        let (partition, account) = (asked.role.partition(), asked.role.account());
        let here = Some((partition.as_str(), account.as_str()));
        let found = self
            .oidc_providers
            .iter()
            .find(|known| known.issuer == issuer && known.partition_and_account() == here);
        let text = format!("No OpenIDConnect provider found in your account for {issuer}");
        found.ok_or_else(|| Failure::token(text))
    }

    /// The audience of claims that hold now and are for this provider's clients.
    fn held<'a>(
        &self,
        provider: &OidcProvider,
        claims: &'a Claims,
        checks: &mut Checks,
    ) -> Result<&'a str, Failure> {
        let same = claims.text("iss").and_then(|issuer| {
            let text = "The ID Token's issuer is not the provider's";
            let same = issuer == provider.issuer;
            same.then_some(()).ok_or_else(|| Failure::token(text))
        });
        checks.note("iss", same)?;
        checks.note("iat, nbf and exp", claims.times(self.clock.now()))?;
        let audience = checks.note("aud", claims.audience())?;
        let taken = provider.client_ids.iter().any(|known| known == audience);
        checks.require("client of the provider", taken, || {
            Failure::token("Incorrect token audience")
        })?;
        Ok(audience)
    }
}
