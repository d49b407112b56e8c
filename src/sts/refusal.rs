//! What an error answer of STS amounts to: AWS's codes and messages become an [`IssueError`].
//!
//! Trusts nothing that AWS sent beyond its meaning: a message is kept for people to read, at most 300
//! characters of it and no control characters. Never holds an assertion, a token or a key.

use super::error::IssueError;
use crate::model::{Method, SessionDuration};
use crate::policy::Grant;

/// What is kept of an AWS message.
const MAX_MESSAGE: usize = 300;

/// An error answer of STS, as far as it could be read.
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: Option<String>,
    pub(super) message: String,
    pub(super) request_id: Option<String>,
    pub(super) region: String,
    pub(super) requested: SessionDuration,
    pub(super) asked: Asked,
}

/// What was asked for, as far as a refusal may be about it.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    method: Method,
    policy: usize,
    tags: usize,
    tag_characters: usize,
}

impl Asked {
    /// A call that asks for no session.
    pub(super) fn by(method: Method) -> Self {
        Self {
            method,
            policy: 0,
            tags: 0,
            tag_characters: 0,
        }
    }

    /// What a call for `grant` asks for.
    pub(super) fn of(grant: &Grant) -> Self {
        let characters = |text: &str| text.chars().count();
        Self {
            method: grant.method(),
            policy: grant
                .session_policy()
                .map_or(0, |policy| characters(policy.as_str())),
            tags: grant.tags().len(),
            tag_characters: grant
                .tags()
                .iter()
                .map(|tag| characters(&tag.key) + characters(&tag.value))
                .sum(),
        }
    }
}

impl From<Refusal> for IssueError {
    fn from(refusal: Refusal) -> Self {
        let status = refusal.status;
        let code = refusal.code.clone();
        let code = code.unwrap_or_else(|| format!("HTTP {status}"));
        let request_id = refusal.request_id.clone();
        if is_throttling(&code) || status == 429 {
            Self::Throttled { request_id }
        } else if is_outage(&code, status) {
            Self::Unavailable { status, request_id }
        } else {
            refusal.verdict(code)
        }
    }
}

impl Refusal {
    /// What AWS will say again, however often it is asked.
    #[rustfmt::skip]
    fn verdict(self, code: String) -> IssueError {
        let Self { message, request_id, region, requested, asked, .. } = self;
        let Asked { method, policy, tags, tag_characters } = asked;
        let is_own = method == Method::Broker && is_about_the_caller(&code);
        // rolegate's own token has one audience and is made for the call.
        let is_foreign = method == Method::WebIdentity;
        match code.as_str() {
            _ if is_own => IssueError::IdentityRefused { message, request_id },
            "IDPCommunicationError" => IssueError::IssuerUnreachable { method, message, request_id },
            "InvalidIdentityToken" if is_keys_message(&message) => IssueError::IssuerUnreachable { method, message, request_id },
            "InvalidIdentityToken" if is_provider_message(&message) => IssueError::NoOidcProvider { method, message, request_id },
            "InvalidIdentityToken" if is_foreign && is_azp_message(&message) => IssueError::AmbiguousAudience { message, request_id },
            "InvalidIdentityToken" if is_foreign && is_audience_message(&message) => IssueError::WrongAudience { message, request_id },
            "ExpiredTokenException" if is_foreign && is_age_message(&message) => IssueError::TokenTooOld { message, request_id },
            "ExpiredTokenException" | "ExpiredToken" => IssueError::Expired { method, message, request_id },
            "InvalidIdentityToken" => IssueError::InvalidToken { method, message, request_id },
            "IDPRejectedClaim" => IssueError::Rejected { method, message, request_id },
            "AccessDenied" | "AccessDeniedException" => IssueError::AccessDenied { method, message, request_id },
            "RegionDisabledException" => IssueError::RegionDisabled { region, request_id },
            "MalformedPolicyDocument" | "MalformedPolicyDocumentException" => IssueError::BadPolicy { policy, message, request_id },
            "PackedPolicyTooLarge" | "PackedPolicyTooLargeException" => IssueError::TooPacked { policy, tags, tag_characters, message, request_id },
            "ValidationError" if is_duration_message(&message) => IssueError::DurationTooLong { requested, request_id },
            _ => IssueError::Other { code, message, request_id },
        }
    }
}

/// The codes by which AWS refuses the signature or the keys of whoever calls.
fn is_about_the_caller(code: &str) -> bool {
    matches!(
        code,
        "ExpiredToken"
            | "ExpiredTokenException"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "RequestExpired"
    )
}

/// "No OpenIDConnect provider found in your account for" and the URL.
fn is_provider_message(message: &str) -> bool {
    message.contains("No OpenIDConnect provider found")
}

/// "Couldn't retrieve verification key from your identity provider, please reference
/// AssumeRoleWithWebIdentity documentation for requirements".
fn is_keys_message(message: &str) -> bool {
    message.contains("retrieve verification key")
}

/// "Incorrect token audience".
fn is_audience_message(message: &str) -> bool {
    message.to_lowercase().contains("audience")
}

/// "Missing a required claim: azp".
fn is_azp_message(message: &str) -> bool {
    message.contains("azp")
}

/// "Token too old:" and a number of seconds.
fn is_age_message(message: &str) -> bool {
    message.to_lowercase().contains("too old")
}

/// STS has no code of its own for it: "The requested `DurationSeconds` exceeds the
/// `MaxSessionDuration` set for this role." With the credentials of a role: "The requested
/// `DurationSeconds` exceeds the 1 hour session limit for roles assumed by role chaining."
fn is_duration_message(message: &str) -> bool {
    message.contains("DurationSeconds")
        && (message.contains("MaxSessionDuration") || message.contains("role chaining"))
}

/// The codes that every AWS SDK takes for throttling.
fn is_throttling(code: &str) -> bool {
    matches!(
        code,
        "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "RequestLimitExceeded"
            | "TooManyRequestsException"
            | "BandwidthLimitExceeded"
            | "LimitExceededException"
            | "PriorRequestNotComplete"
            | "SlowDown"
    )
}

fn is_outage(code: &str, status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
        || matches!(code, "RequestTimeout" | "RequestTimeoutException")
}

/// At most 300 characters of `text`, control characters made spaces.
pub(super) fn readable(text: &str) -> String {
    let plain = |character: char| {
        if character.is_control() {
            ' '
        } else {
            character
        }
    };
    text.chars().map(plain).take(MAX_MESSAGE).collect()
}

/// An error with all its sources, each once.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = without_request(error);
    let mut next = error.source();
    while let Some(source) = next {
        let part = without_request(source);
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        next = source.source();
    }
    readable(&text)
}

/// The SDK prints the whole request, headers and body, where it cannot apply an endpoint to it.
fn without_request(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    match text.split_once("`Request {") {
        Some((before, _)) => format!("{before}(not shown)"),
        None => text,
    }
}
