//! Why no credentials were issued, with the mend, and what an AWS error code amounts to.
//!
//! Trusts nothing that AWS sent beyond its meaning: a message is kept for people to read, at most 300
//! characters of it and no control characters. Never holds an assertion or a key.

use thiserror::Error;

use crate::model::{Partition, SessionDuration};

/// What is kept of an AWS message.
const MAX_MESSAGE: usize = 300;

/// Why no credentials were issued. `request_id` is STS's own, for AWS support.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IssueError {
    /// The assertion is too old for STS's five-minute rule; STS was not called.
    #[error(
        "the assertion is older than 4 min 30 s and STS takes it for five minutes after its issuance; sign in again (and compare the clocks of the IdP and this host if the sign-in was just now)"
    )]
    WindowPassed,
    /// STS says that the assertion has expired.
    #[error("STS says that the assertion has expired; sign in again: {message}")]
    Expired {
        /// AWS's message.
        message: String,
        /// STS's request id.
        request_id: Option<String>,
    },
    /// STS could not validate the assertion.
    #[error(
        "STS does not accept the assertion; compare the IAM SAML provider's metadata with the IdP's, and the IdP's Audience and RoleSessionName: {message}"
    )]
    InvalidToken {
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
        /// AWS's message.
        message: String,
        /// STS's request id.
        request_id: Option<String>,
    },
    /// The role may not be assumed with this assertion.
    #[error(
        "AWS denies this role; its trust policy must name the SAML provider and allow `SAML:aud` = rolegate's ACS URL (`rolegate trust-policy ARN` prints such a policy), and the assertion must offer the pair role,provider: {message}"
    )]
    AccessDenied {
        /// AWS's message.
        message: String,
        /// STS's request id.
        request_id: Option<String>,
    },
    /// The role's own maximum is lower than every duration that was tried.
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
            Self::Other { .. } => "sts-other",
        }
    }

    /// STS's request id, where STS answered with one.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::WindowPassed
            | Self::NoRegion { .. }
            | Self::TimedOut
            | Self::Unreachable { .. }
            | Self::NoProvider => None,
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
            | Self::Other { request_id, .. } => request_id.as_deref(),
        }
    }

    /// Whether the same request may succeed later without anybody mending anything.
    pub fn is_transient(&self) -> bool {
        self.may_retry() || matches!(self, Self::TimedOut)
    }

    /// Whether a second attempt is worth its time at once. An attempt that timed out has used it up.
    pub(super) fn may_retry(&self) -> bool {
        matches!(
            self,
            Self::Throttled { .. } | Self::Unavailable { .. } | Self::Unreachable { .. }
        )
    }
}

/// An error answer of STS, as far as it could be read.
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: Option<String>,
    pub(super) message: String,
    pub(super) request_id: Option<String>,
    pub(super) region: String,
    pub(super) requested: SessionDuration,
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
        let Self { message, request_id, region, requested, .. } = self;
        match code.as_str() {
            "ExpiredTokenException" | "ExpiredToken" => IssueError::Expired { message, request_id },
            "InvalidIdentityToken" => IssueError::InvalidToken { message, request_id },
            "IDPRejectedClaim" => IssueError::Rejected { message, request_id },
            "AccessDenied" | "AccessDeniedException" => IssueError::AccessDenied { message, request_id },
            "RegionDisabledException" => IssueError::RegionDisabled { region, request_id },
            "ValidationError" if is_duration_message(&message) => IssueError::DurationTooLong { requested, request_id },
            _ => IssueError::Other { code, message, request_id },
        }
    }
}

/// STS has no code of its own for it: "The requested `DurationSeconds` exceeds the
/// `MaxSessionDuration` set for this role."
fn is_duration_message(message: &str) -> bool {
    message.contains("DurationSeconds") && message.contains("MaxSessionDuration")
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
