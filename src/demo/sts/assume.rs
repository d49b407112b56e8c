//! `AssumeRoleWithSAML`: what AWS checks, in AWS's words (IAM User Guide, troubleshooting SAML).

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use openssl::sha::sha1;

use super::answer::{Failure, element};
use super::checks::Checks;
use super::parameters::Call;
use super::sessions::Session;
use super::statement::{self, Bearer};
use super::{Fault, Inner, RoleTrust, signature};
use crate::demo::xml::{self, Element};
use crate::model::{SessionName, rfc3339};

const FORMATS: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:";

/// What the verified assertion says, all of it checked.
struct Claims {
    issuer: String,
    bearer: Bearer,
    session_name: SessionName,
    source_identity: Option<SessionName>,
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
        checks.require("pair offered", offers(&assertion, &call), Failure::denied)?;
        let trust = self.trust(&call, &claims.bearer.recipient);
        let trust = checks.note("trust policy with SAML:aud", trust)?;
        checks.require(
            "maximum duration of the role",
            call.seconds <= trust.max_session_duration,
            || Failure::invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role."),
        )?;
        Ok(self.issue(&call, &claims, fault))
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
        let audience = statement::audience(assertion, call.role.partition());
        checks.note("audience", audience)?;
        let bearer = statement::bearer(assertion, now);
        let bearer = checks.note("one bearer confirmation with Recipient", bearer)?;
        let session_name = statement::session_name(assertion);
        let session_name = checks.note("RoleSessionName", session_name)?;
        let source_identity = statement::source_identity(assertion);
        let source_identity = checks.note("SourceIdentity", source_identity)?;
        checks.note("session tags", statement::tags(assertion))?;
        let shorter = checks.note("SessionDuration", statement::session_duration(assertion))?;
        let end = statement::session_end(assertion, now);
        let end = checks.note("SessionNotOnOrAfter", end)?;
        let seconds = shorter.map_or(call.seconds, |shorter| shorter.min(call.seconds));
        let expires_at = now + TimeDelta::seconds(i64::from(seconds));
        Ok(Claims {
            issuer: issuer.to_owned(),
            bearer,
            session_name,
            source_identity,
            expires_at: end.map_or(expires_at, |end| end.min(expires_at)),
        })
    }

    /// The role, if its trust policy lets this provider in with this `SAML:aud`.
    fn trust(&self, call: &Call<'_>, recipient: &str) -> Result<&RoleTrust, Failure> {
        let same_account = call.role.account() == call.provider.account()
            && call.role.partition() == call.provider.partition();
        let named = |list: &[String], wanted: &str| list.iter().any(|known| known == wanted);
        let trusts = |trust: &&RoleTrust| {
            trust.role_arn == call.role.as_str()
                && named(&trust.provider_arns, call.provider.as_str())
                && named(&trust.saml_aud, recipient)
        };
        let found = self.trusts.iter().find(trusts);
        found.filter(|_| same_account).ok_or_else(Failure::denied)
    }

    fn issue(&self, call: &Call<'_>, claims: &Claims, fault: &Fault) -> String {
        let role = if *fault == Fault::WrongRole {
            "another-role"
        } else {
            call.role.name()
        };
        let (session, secrets) = Session::new(
            &*self.entropy,
            &call.role,
            role,
            &claims.session_name,
            claims.expires_at,
        );
        let audience = if *fault == Fault::WrongAudience {
            "https://signin.aws.amazon.com/saml"
        } else {
            &claims.bearer.recipient
        };
        let result = [
            element("Audience", audience),
            format!(
                "<AssumedRoleUser>{}{}</AssumedRoleUser>",
                element("AssumedRoleId", &session.user_id),
                element("Arn", &session.arn)
            ),
            format!(
                "<Credentials>{secrets}{}</Credentials>",
                element("Expiration", &rfc3339(claims.expires_at))
            ),
            subject(call, claims),
            element("PackedPolicySize", "0"),
        ];
        self.sessions.keep(session);
        result.concat()
    }
}

/// Subject, its type and qualifier, the issuer, and the source identity where there is one.
fn subject(call: &Call<'_>, claims: &Claims) -> String {
    let format = claims.bearer.format.as_str();
    let qualified = format!(
        "{}{}/{}",
        claims.issuer,
        call.provider.account(),
        call.provider.name()
    );
    let source_identity = claims.source_identity.as_ref();
    [
        element("Subject", &claims.bearer.name_id),
        element(
            "NameQualifier",
            &STANDARD.encode(sha1(qualified.as_bytes())),
        ),
        element(
            "SubjectType",
            format.strip_prefix(FORMATS).unwrap_or(format),
        ),
        element("Issuer", &claims.issuer),
        source_identity.map_or_else(String::new, |name| element("SourceIdentity", name.as_str())),
    ]
    .concat()
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
    let (role, provider) = (call.role.as_str(), call.provider.as_str());
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
