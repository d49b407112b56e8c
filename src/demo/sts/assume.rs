//! `AssumeRoleWithSAML`: what AWS checks, in AWS's words (IAM User Guide, troubleshooting SAML).

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use openssl::sha::sha1;

use super::answer::{Failure, element};
use super::checks::Checks;
use super::context::Context;
use super::fault::Fault;
use super::issue::{Issued, Request};
use super::parameters::Call;
use super::policy::Principal;
use super::statement::{self, Bearer};
use super::tags::Tags;
use super::{Inner, signature};
use crate::demo::xml::{self, Element};
use crate::model::SessionName;

const ACTION: &str = "AssumeRoleWithSAML";
const FORMATS: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:";

/// What the verified assertion says, all of it checked.
struct Claims {
    issuer: String,
    bearer: Bearer,
    session_name: SessionName,
    source_identity: Option<SessionName>,
    tags: Tags,
    expires_at: DateTime<Utc>,
}

impl Inner {
    /// The result's XML. With [`Fault::WrongRole`] or [`Fault::WrongAudience`] it lies in that.
    pub(super) fn assume_role_with_saml(
        &self,
        form: &HashMap<String, String>,
        checks: &mut Checks,
        fault: &Fault,
    ) -> Result<String, Failure> {
        let call = checks.note("parameters", Call::read(form))?;
        let (text, response) = checks.note("base64 of a Response", decode(call.encoded))?;
        let provider = self
            .providers
            .iter()
            .find(|known| known.arn == call.provider);
        let provider = provider.ok_or_else(|| Failure::token("Specified provider doesn't exist"));
        let provider = checks.note("provider", provider)?;
        let verified = signature::verified(&text, &response, &provider.certificates);
        let verified = verified.map_err(|why| {
            tracing::debug!(%why, "the demo STS refuses a response");
            Failure::token("Response signature invalid")
        });
        let assertion = checks.note("signature", verified)?;
        let issuer = &provider.entity_id;
        let known = statement::issuer(&response, &assertion, issuer);
        checks.note("issuer", known)?;
        let claims = self.claims(&call, &response, &assertion, issuer, checks)?;
        let denied = || Failure::denied(ACTION);
        checks.require("pair offered", offers(&assertion, &call), denied)?;
        let same_account = call.asked.role.account() == call.provider.account()
            && call.asked.role.partition() == call.provider.partition();
        checks.require("provider of the role's account", same_account, denied)?;
        let request = Request {
            action: ACTION,
            asked: &call.asked,
            principal: Principal::Federated(call.provider.as_str().to_owned()),
            context: context(&call, &claims),
            session_name: &claims.session_name,
            tags: claims.tags.clone(),
            source_identity: claims.source_identity.as_ref().map(ToString::to_string),
            end: Some(claims.expires_at),
            chained: false,
            denied: &Failure::denied,
        };
        let made = self.issue(request, "trust policy with SAML:aud", checks, fault)?;
        Ok(result(&call, &claims, made, fault))
    }

    fn claims(
        &self,
        call: &Call<'_>,
        response: &Element,
        assertion: &Element,
        issuer: &str,
        checks: &mut Checks,
    ) -> Result<Claims, Failure> {
        let now = self.clock.now();
        checks.note("status", statement::status(response))?;
        let age = statement::age(response, assertion, now);
        checks.note("five minutes since IssueInstant", age)?;
        checks.note("conditions", statement::window(assertion, now))?;
        let audience = statement::audience(assertion, call.asked.role.partition());
        checks.note("audience", audience)?;
        let bearer = statement::bearer(assertion, now);
        let bearer = checks.note("one bearer confirmation with Recipient", bearer)?;
        let session_name = statement::session_name(assertion);
        let session_name = checks.note("RoleSessionName", session_name)?;
        let source_identity = statement::source_identity(assertion);
        let source_identity = checks.note("SourceIdentity", source_identity)?;
        let tags = checks.note("session tags", statement::tags(assertion))?;
        let shorter = checks.note("SessionDuration", statement::session_duration(assertion))?;
        let end = statement::session_end(assertion, now);
        let end = checks.note("SessionNotOnOrAfter", end)?;
        let seconds = shorter.map_or(call.asked.seconds, |shorter| {
            shorter.min(call.asked.seconds)
        });
        let expires_at = now + TimeDelta::seconds(i64::from(seconds));
        Ok(Claims {
            issuer: issuer.to_owned(),
            bearer,
            session_name,
            source_identity,
            tags,
            expires_at: end.map_or(expires_at, |end| end.min(expires_at)),
        })
    }
}

/// What the trust policy can ask of an assertion.
fn context(call: &Call<'_>, claims: &Claims) -> Context {
    Context::default()
        .with("SAML:aud", Some(&claims.bearer.recipient))
        .with("SAML:iss", Some(&claims.issuer))
        .with("SAML:sub", Some(&claims.bearer.name_id))
        .with("SAML:sub_type", Some(subject_type(&claims.bearer)))
        .with("SAML:namequalifier", Some(&qualifier(call, claims)))
        .with("aws:FederatedProvider", Some(call.provider.as_str()))
}

fn result(call: &Call<'_>, claims: &Claims, issued: Issued, fault: &Fault) -> String {
    let audience = if *fault == Fault::WrongAudience {
        "https://signin.aws.amazon.com/saml"
    } else {
        &claims.bearer.recipient
    };
    [
        element("Audience", audience),
        issued.user,
        issued.credentials,
        subject(call, claims),
        issued.packed,
    ]
    .concat()
}

/// Subject, its type and qualifier, the issuer, and the source identity where there is one.
fn subject(call: &Call<'_>, claims: &Claims) -> String {
    let source_identity = claims.source_identity.as_ref();
    [
        element("Subject", &claims.bearer.name_id),
        element("NameQualifier", &qualifier(call, claims)),
        element("SubjectType", subject_type(&claims.bearer)),
        element("Issuer", &claims.issuer),
        source_identity.map_or_else(String::new, |name| element("SourceIdentity", name.as_str())),
    ]
    .concat()
}

fn subject_type(bearer: &Bearer) -> &str {
    let format = bearer.format.as_str();
    format.strip_prefix(FORMATS).unwrap_or(format)
}

fn qualifier(call: &Call<'_>, claims: &Claims) -> String {
    let (account, name) = (call.provider.account(), call.provider.name());
    let qualified = format!("{}{account}/{name}", claims.issuer);
    STANDARD.encode(sha1(qualified.as_bytes()))
}

fn decode(encoded: &str) -> Result<(String, Element), Failure> {
    let bytes = STANDARD.decode(encoded);
    let bytes = bytes.map_err(|_| Failure::token("Invalid base64 SAMLResponse"))?;
    let bad = || Failure::token("Invalid SAMLResponse");
    let text = String::from_utf8(bytes).map_err(|_| bad())?;
    let response = xml::parse(&text).map_err(|_| bad())?;
    Ok((text, response))
}

/// Whether a Role value is the pair that was asked for, in either order.
fn offers(assertion: &Element, call: &Call<'_>) -> bool {
    let (role, provider) = (call.asked.role.as_str(), call.provider.as_str());
    let is_pair = |value: &&str| {
        // Commas are legal in role names, so the text is matched from its ends.
        [(role, provider), (provider, role)]
            .iter()
            .any(|(first, second)| {
                let middle = value.trim().strip_prefix(first);
                let middle = middle.and_then(|rest| rest.strip_suffix(second));
                middle.is_some_and(|middle| middle.trim() == ",")
            })
    };
    statement::values(assertion, "Role").iter().any(is_pair)
}
