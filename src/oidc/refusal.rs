//! Why a sign-in or a refreshed token is refused: one closed list, with what was found and what to change.
//!
//! The texts are for the log, the audit record and `explain`, never for the one who signs in: text that came
//! from outside is quoted and cut, so that it cannot forge a line of a log.

use chrono::{DateTime, Utc};
use thiserror::Error;

use crate::model::DurationError;

macro_rules! refusals {
    ($($(#[doc = $doc:literal])* $name:ident { $($field:ident: $type:ty),* }
        $code:literal, $text:literal, $mend:literal;)*) => {
        /// Why a sign-in is refused. Each variant is one check; [`Refusal::code`] is stable.
        #[derive(Debug, Clone, PartialEq, Eq, Error)]
        #[expect(missing_docs, reason = "the fields are the facts that the text shows")]
        pub enum Refusal {
            $($(#[doc = $doc])* #[error($text)] $name { $($field: $type),* },)*
        }

        impl Refusal {
            /// Every code, in the order of the checks.
            pub const CODES: &'static [&'static str] = &[$($code),*];

            /// The check's stable name, for the log and the audit record.
            pub fn code(&self) -> &'static str {
                match self { $(Self::$name { .. } => $code,)* }
            }

            /// What to change, and where.
            pub fn mend(&self) -> &'static str {
                match self { $(Self::$name { .. } => $mend,)* }
            }
        }
    };
}

refusals! {
    /// The answer names another provider than the one that was asked, or none where it must (RFC 9207).
    MixUp { found: String, expected: String }
        "mix_up", "the answer's iss is {found}, expected {expected:?}", "begin the sign-in again; if it happens again, another provider answers in this one's name, or something takes iss out of its answers";
    /// The provider answered with an error.
    ProviderError { error: String, description: String }
        "provider_error", "the provider answered {error:?} ({description:?})", "look at the provider's log: it refused the sign-in, or the person did";
    /// The token endpoint gave no ID token.
    NoIdToken {}
        "no_id_token", "the token endpoint gave no ID token", "let the provider give this client the scope openid";
    /// A token of another form than three parts, or longer than AWS takes.
    TokenForm { why: &'static str }
        "token_form", "the ID token {why}", "let the provider send a signed, not encrypted JWT of at most 20000 characters; send fewer claims or groups";
    /// Signed by an algorithm that is not allowed, or not at all.
    Algorithm { found: String }
        "algorithm", "the ID token's alg is {found:?}, not RS256, RS384, RS512, ES256 or ES384", "choose RS256 for this client at the provider; none and HMAC are never taken";
    /// No key of the provider fits.
    KeyUnknown { kid: String }
        "key_unknown", "no key of the provider is meant by the kid {kid} with this alg", "the provider's keys are asked for again; if this stays, its key set lacks the key that it signs with";
    /// A signature that no fitting key made.
    Signature {}
        "signature", "the ID token's signature does not verify with the provider's key", "if the provider's keys are current, the token was changed or made by somebody else";
    /// Claims that are no object, or one of the protocol's claims in another form.
    Malformed { claim: &'static str, why: &'static str }
        "claims_malformed", "the claim {claim} {why}", "let the provider write its claims as OpenID Connect says";
    /// A token of another issuer.
    Issuer { found: String, expected: String }
        "issuer", "iss is {found:?}, expected {expected:?}", "write the issuer exactly as the provider does";
    /// A token for somebody else.
    Audience { found: String, expected: String }
        "audience", "aud is {found}, expected {expected:?}", "write the client_id that the provider gave rolegate";
    /// A token that another client asked for, or one for several without saying who asked.
    AuthorizedParty { found: String, expected: String }
        "azp", "azp is {found}, expected {expected:?}", "let the provider send this client's id as azp where it sends several audiences";
    /// Not valid any more.
    Expired { at: DateTime<Utc>, now: DateTime<Utc> }
        "expired", "the ID token ended at {at}, and it is {now}", "sign in again; set the clocks of both machines if this happens at once";
    /// Not valid yet, or issued in the future.
    NotYetValid { claim: &'static str, at: DateTime<Utc>, now: DateTime<Utc> }
        "not_yet_valid", "{claim} is {at}, and it is {now}", "set the clocks of both machines";
    /// A token from too long ago for a sign-in.
    IssuedTooLongAgo { at: DateTime<Utc>, now: DateTime<Utc> }
        "issued_too_long_ago", "the ID token was issued at {at}, more than 10 minutes before {now}", "sign in again; set the clocks of both machines if this happens at once";
    /// A token that belongs to another request, or to none.
    Nonce { found: &'static str }
        "nonce", "the nonce is {found}", "begin the sign-in again in the same browser; let the provider repeat the request's nonce";
    /// A refreshed token of another person.
    SubjectDiffers { found: String, expected: String }
        "subject_differs", "the refreshed token's sub is {found:?}, the sign-in's {expected:?}", "sign in again; a provider must not change the subject on refresh";
    /// A refreshed token for another audience than the sign-in's.
    AudienceDiffers { found: String, expected: String }
        "audience_differs", "the refreshed token is for {found:?}, the sign-in's for {expected:?}", "sign in again; a provider must not change the audience on refresh";
    /// A session duration that AWS does not take.
    SessionDuration { found: String, reason: DurationError }
        "session_duration", "the duration claim {found:?} {reason}", "send whole seconds from 900 to 43200 as a number or as digits, or leave the claim out";
    /// A user name that is none.
    UserName { claim: String, why: String }
        "user_name", "the claim {claim:?} names no user: {why}", "set `session_name_claim` to a claim with the login or mail address";
    /// A user of a domain that this provider may not speak for.
    UserDomain { found: String, expected: String }
        "user_domain", "the user {found:?} is of none of the domains {expected}", "add the domain to `user_domains` if this provider may speak for it";
}

impl Refusal {
    /// Whether the provider may have newer keys with which the same token is good: ask for them and verify again.
    pub fn wants_newer_keys(&self) -> bool {
        matches!(self, Self::KeyUnknown { .. } | Self::Signature {})
    }
}

/// Text from outside, cut for a log; it is quoted where it is shown.
pub(super) fn cut(text: &str) -> String {
    printable(text, 200)
}

/// The printable characters of a provider's text, at most `most` of them.
pub(super) fn printable(text: &str, most: usize) -> String {
    let shown = |character: &char| !character.is_control();
    text.chars().filter(shown).take(most).collect()
}

/// Texts from outside as a list, the first few of them.
pub(super) fn listed<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let shown: Vec<String> = texts
        .into_iter()
        .take(8)
        .map(|text| format!("{:?}", cut(text)))
        .collect();
    if shown.is_empty() {
        return "nothing".to_owned();
    }
    shown.join(", ")
}
