//! Why no credentials were issued, with the mend.
//!
//! Holds what AWS said as `refusal` cut it, for people to read. Never holds an assertion, a token or a
//! key.

use chrono::{DateTime, Utc};
use thiserror::Error;

use super::mends;
use crate::model::{Method, Partition, RoleArn, SessionDuration, rfc3339};

/// Why no credentials were issued. `request_id` is STS's own, for AWS support.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IssueError {
    /// The assertion is too old for STS's five-minute rule; STS was not called.
    #[error(
        "the assertion is older than 4 min 30 s and STS takes it for five minutes after its issuance; sign in again (and compare the clocks of the IdP and this host if the sign-in was just now)"
    )]
    WindowPassed,
    /// The ID token has ended; STS was not called.
    #[error("the ID token ended at {}; sign in again where no newer one can be had", rfc3339(*.at))]
    IdTokenOver {
        /// Its end.
        at: DateTime<Utc>,
    },
    /// STS says that what it was shown has expired.
    #[error("{}: {message}", mends::expired(*method))]
    Expired {
        /// By which method.
        method: Method,
        /// AWS's message.
        message: String,
        /// STS's request id.
        request_id: Option<String>,
    },
    /// STS could not validate the assertion or the token.
    #[error("{}: {message}", mends::invalid(*method))]
    InvalidToken {
        /// By which method.
        method: Method,
        /// AWS's message.
        message: String,
        /// STS's request id.
        request_id: Option<String>,
    },
    /// STS says that the IdP rejected the claim.
    #[error(
        "STS says that the IdP rejected the claim; sign in again, or ask the IdP's administrator: {message}"
    )]
    Rejected {
        /// By which method.
        method: Method,
        /// AWS's message.
        message: String,
        /// STS's request id.
        request_id: Option<String>,
    },
    /// The role may not be assumed in this way.
    #[error("{}: {message}", mends::denied(*method))]
    AccessDenied {
        /// By which method.
        method: Method,
        /// AWS's message.
        message: String,
        /// STS's request id.
        request_id: Option<String>,
    },
    /// The role's own maximum, or that of role chaining, is lower than every duration that was tried.
    #[error(
        "the role allows no session of {}; raise its MaxSessionDuration, or ask for less",
        requested
    )]
    DurationTooLong {
        /// The last duration asked for.
        requested: SessionDuration,
        /// STS's request id.
        request_id: Option<String>,
    },
    /// STS is switched off for the account in this region.
    #[error(
        "STS is not activated for the account in {region}; activate it in the account's IAM settings, or name another region in [sts] regions"
    )]
    RegionDisabled {
        /// The region that was called.
        region: String,
        /// STS's request id.
        request_id: Option<String>,
    },
    /// No region is configured for the role's partition.
    #[error(
        "no STS region is configured for partition {}; name one in [sts] regions",
        .partition.as_str()
    )]
    NoRegion {
        /// The role's partition.
        partition: Partition,
    },
    /// STS had too many requests.
    #[error("STS is throttling; try again in a minute")]
    Throttled {
        /// STS's request id.
        request_id: Option<String>,
    },
    /// STS answered 500, 502, 503 or 504.
    #[error("STS is unavailable (HTTP {status}); try again in a minute")]
    Unavailable {
        /// The HTTP status.
        status: u16,
        /// STS's request id.
        request_id: Option<String>,
    },
    /// No answer in time.
    #[error("STS did not answer in time; try again, and look at the way out to STS if it persists")]
    TimedOut,
    /// No connection, or it broke.
    #[error(
        "STS cannot be reached; look at the endpoint URL, DNS, firewall and the trusted authorities: {cause}"
    )]
    Unreachable {
        /// The whole chain of causes.
        cause: String,
    },
    /// An answer that is no answer of STS.
    #[error("the answer is no answer of STS ({what}); look for a proxy on the way to STS")]
    BadAnswer {
        /// What is wrong with it.
        what: String,
        /// STS's request id.
        request_id: Option<String>,
    },
    /// STS answered for something else than what was asked; the credentials were dropped.
    #[error(
        "ALARM: STS answered with {what} {found:?} instead of {expected:?}; the credentials were dropped; find out who answers in place of STS"
    )]
    Mismatch {
        /// What differs.
        what: &'static str,
        /// What was asked for.
        expected: String,
        /// What came.
        found: String,
        /// STS's request id.
        request_id: Option<String>,
    },
    /// The grant names no SAML provider, which STS demands.
    #[error(
        "the offer names no SAML provider; let the IdP send the pair role,provider, or configure the account's provider"
    )]
    NoProvider,
    /// The account knows no OIDC provider of the token's issuer.
    #[error("{}: {message}", mends::no_provider(*method))]
    NoOidcProvider {
        /// By which method.
        method: Method,
        /// AWS's message.
        message: String,
        /// STS's request id.
        request_id: Option<String>,
    },
    /// AWS could not read the issuer's documents.
    #[error("{}: {message}", mends::unreadable(*method))]
    IssuerUnreachable {
        /// By which method.
        method: Method,
        /// AWS's message.
        message: String,
        /// STS's request id.
        request_id: Option<String>,
    },
    /// The account's OIDC provider is not for the ID token's audience.
    #[error(
        "the IAM OIDC provider in the role's account does not list the audience of the ID token, which is rolegate's client id at the identity provider; add it: aws iam add-client-id-to-open-id-connect-provider: {message}"
    )]
    WrongAudience {
        /// AWS's message.
        message: String,
        /// STS's request id.
        request_id: Option<String>,
    },
    /// The ID token is for several audiences and does not say for whom it was made.
    #[error(
        "the ID token names several audiences and has no azp, without which STS takes none of them; have the identity provider send azp, or rolegate's client id as the only audience: {message}"
    )]
    AmbiguousAudience {
        /// AWS's message.
        message: String,
        /// STS's request id.
        request_id: Option<String>,
    },
    /// The ID token was made too long ago, whatever its end.
    #[error(
        "the ID token was issued longer ago than STS takes one, though it has not ended; sign in again where no newer one can be had, and have the identity provider issue such tokens for an hour or less: {message}"
    )]
    TokenTooOld {
        /// AWS's message.
        message: String,
        /// STS's request id.
        request_id: Option<String>,
    },
    /// AWS does not understand the session policy.
    #[error(
        "AWS does not take the session policy ({policy} characters); correct it, IAM's policy simulator shows where: {message}"
    )]
    BadPolicy {
        /// Its characters.
        policy: usize,
        /// AWS's message.
        message: String,
        /// STS's request id.
        request_id: Option<String>,
    },
    /// Session policy and tags are more than AWS packs into a session.
    #[error(
        "the session policy ({policy} characters) and {tags} session tags ({tag_characters} characters) together are more than AWS packs into a session; {}: {message}",
        mends::packed(*policy, *tag_characters)
    )]
    TooPacked {
        /// The policy's characters.
        policy: usize,
        /// How many tags, rolegate's own and the identity provider's included.
        tags: usize,
        /// Their characters, keys and values.
        tag_characters: usize,
        /// AWS's message.
        message: String,
        /// STS's request id.
        request_id: Option<String>,
    },
    /// rolegate has no AWS credentials of its own.
    #[error(
        "method broker needs AWS credentials of rolegate's own, and the default chain (environment, profile, web identity, container, instance) finds none; give the gateway's process an identity: {cause}"
    )]
    NoIdentity {
        /// The whole chain of causes.
        cause: String,
    },
    /// What gives rolegate its own credentials does not answer.
    #[error("rolegate's own AWS credentials cannot be had now; try again in a minute: {cause}")]
    IdentityAway {
        /// The whole chain of causes.
        cause: String,
    },
    /// AWS does not take rolegate's own credentials.
    #[error(
        "AWS does not take rolegate's own credentials; look at where the gateway's process has them from, at its clock, and at the partition they are of: {message}"
    )]
    IdentityRefused {
        /// AWS's message.
        message: String,
        /// STS's request id.
        request_id: Option<String>,
    },
    /// The role that rolegate itself runs as.
    #[error(
        "{role} is the role that rolegate itself runs as, which it hands to nobody; remove the entry, or run rolegate as a role of its own"
    )]
    OwnRole {
        /// The role.
        role: RoleArn,
    },
    /// Any other refusal.
    #[error("AWS refused with {code}: {message}")]
    Other {
        /// AWS's code, or `HTTP` and the status.
        code: String,
        /// AWS's message.
        message: String,
        /// STS's request id.
        request_id: Option<String>,
    },
}

impl IssueError {
    /// The stable code, for logs, audit and APIs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::WindowPassed => "sts-window-passed",
            Self::IdTokenOver { .. } => "sts-id-token-over",
            Self::Expired { .. } => "sts-expired",
            Self::InvalidToken { .. } => "sts-invalid-token",
            Self::Rejected { .. } => "sts-rejected",
            Self::AccessDenied { .. } => "sts-access-denied",
            Self::DurationTooLong { .. } => "sts-duration-too-long",
            Self::RegionDisabled { .. } => "sts-region-disabled",
            Self::NoRegion { .. } => "sts-no-region",
            Self::Throttled { .. } => "sts-throttled",
            Self::Unavailable { .. } => "sts-unavailable",
            Self::TimedOut => "sts-timed-out",
            Self::Unreachable { .. } => "sts-unreachable",
            Self::BadAnswer { .. } => "sts-bad-answer",
            Self::Mismatch { .. } => "sts-mismatch",
            Self::NoProvider => "sts-no-provider",
            Self::NoOidcProvider { .. } => "sts-no-oidc-provider",
            Self::IssuerUnreachable { .. } => "sts-issuer-unreachable",
            Self::WrongAudience { .. } => "sts-wrong-audience",
            Self::AmbiguousAudience { .. } => "sts-ambiguous-audience",
            Self::TokenTooOld { .. } => "sts-token-too-old",
            Self::BadPolicy { .. } => "sts-bad-policy",
            Self::TooPacked { .. } => "sts-too-packed",
            Self::NoIdentity { .. } => "sts-no-identity",
            Self::IdentityAway { .. } => "sts-identity-away",
            Self::IdentityRefused { .. } => "sts-identity-refused",
            Self::OwnRole { .. } => "sts-own-role",
            Self::Other { .. } => "sts-other",
        }
    }

    /// STS's request id, where STS answered with one.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::WindowPassed
            | Self::IdTokenOver { .. }
            | Self::NoRegion { .. }
            | Self::TimedOut
            | Self::Unreachable { .. }
            | Self::NoProvider
            | Self::NoIdentity { .. }
            | Self::IdentityAway { .. }
            | Self::OwnRole { .. } => None,
            Self::Expired { request_id, .. }
            | Self::InvalidToken { request_id, .. }
            | Self::Rejected { request_id, .. }
            | Self::AccessDenied { request_id, .. }
            | Self::DurationTooLong { request_id, .. }
            | Self::RegionDisabled { request_id, .. }
            | Self::Throttled { request_id }
            | Self::Unavailable { request_id, .. }
            | Self::BadAnswer { request_id, .. }
            | Self::Mismatch { request_id, .. }
            | Self::NoOidcProvider { request_id, .. }
            | Self::IssuerUnreachable { request_id, .. }
            | Self::WrongAudience { request_id, .. }
            | Self::AmbiguousAudience { request_id, .. }
            | Self::TokenTooOld { request_id, .. }
            | Self::BadPolicy { request_id, .. }
            | Self::TooPacked { request_id, .. }
            | Self::IdentityRefused { request_id, .. }
            | Self::Other { request_id, .. } => request_id.as_deref(),
        }
    }

    /// Whether the same request may succeed later without anybody mending anything.
    pub fn is_transient(&self) -> bool {
        self.retries() > 0 || matches!(self, Self::TimedOut)
    }

    /// Whether a newer ID token of the same person may be taken where this one was not: it has ended, is too
    /// old, or AWS does not accept it for a reason that lies in this very token.
    ///
    /// Never for a proof of another method, nor for what no token mends: provider, audience, trust policy.
    pub fn wants_newer_token(&self) -> bool {
        match self {
            Self::IdTokenOver { .. } | Self::TokenTooOld { .. } => true,
            Self::Expired { method, .. }
            | Self::InvalidToken { method, .. }
            | Self::Rejected { method, .. } => *method == Method::WebIdentity,
            _ => false,
        }
    }

    /// How many further attempts are worth their time at once. An attempt that timed out has used it up;
    /// AWS reads an issuer's keys anew each time.
    pub(super) fn retries(&self) -> usize {
        match self {
            Self::Throttled { .. }
            | Self::Unavailable { .. }
            | Self::Unreachable { .. }
            | Self::IdentityAway { .. } => 1,
            Self::IssuerUnreachable { .. } => 3,
            _ => 0,
        }
    }
}
