//! Why a provider gave nothing to work with: one closed list.
//!
//! The texts are for the log, the audit record and `check`, never for a stranger. What a provider wrote is
//! repeated as its `error` and 256 printable characters of its `error_description` alone.

use thiserror::Error;

/// Stands for words that repeated what rolegate had sent.
const REPEATED: &str = "(its words repeat what was sent)";
/// So many characters of a secret are not found by chance.
const TELLING: usize = 16;

/// Why the provider cannot be used, or what it answered instead of tokens.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the fields are the facts that the text shows")]
pub enum OidcError {
    /// The authorities of `SSL_CERT_FILE` cannot be used.
    #[error("the authorities in SSL_CERT_FILE cannot be used ({0}); let it name a PEM file")]
    Authorities(String),
    /// A setting that cannot be used.
    #[error("{what} is {found:?}, which {why}")]
    Setting {
        what: &'static str,
        found: String,
        why: &'static str,
    },
    /// An extra parameter that the protocol sets itself.
    #[error(
        "authorization_parameters may not set {0:?}: the protocol sets it itself; remove it there"
    )]
    Parameter(String),
    /// No answer.
    #[error("cannot be reached ({0}); check the issuer, the network and the host's certificate")]
    Unreachable(String),
    /// A connection that broke before the whole answer came; what was asked may have been done.
    #[error("broke the connection before its answer was whole ({0}); check the network")]
    Broken(String),
    /// No whole answer in time.
    #[error("did not answer whole within 10 seconds; check the issuer and the network")]
    TimedOut,
    /// Another status than was hoped for.
    #[error("{what} answered with status {status}; check the issuer")]
    Status { what: &'static str, status: u16 },
    /// A long answer.
    #[error("{what} answers with more than {limit} bytes; that is no OpenID provider's answer")]
    TooLarge { what: &'static str, limit: usize },
    /// An answer that is not what OpenID Connect says.
    #[error("{what} is not as OpenID Connect says: {why:?}; check the issuer")]
    Malformed { what: &'static str, why: String },
    /// Metadata of another issuer (OpenID Connect Discovery, 4.3).
    #[error(
        "the metadata names the issuer {found:?}, the configuration {expected:?}; write the issuer exactly as the provider does, with or without the slash at its end"
    )]
    IssuerDiffers { found: String, expected: String },
    /// Metadata of many tenants at once.
    #[error(
        "the metadata names the issuer {0:?}, a pattern for many tenants; write your own tenant's issuer, such as https://login.microsoftonline.com/<tenant id>/v2.0"
    )]
    IssuerTemplate(String),
    /// An endpoint that is neither https nor loopback.
    #[error(
        "the metadata's {name} is {found:?}; it must be https (http only where the issuer itself is loopback http)"
    )]
    Endpoint { name: &'static str, found: String },
    /// Something that rolegate needs and the provider has not.
    #[error("the provider has no {0}; rolegate needs it")]
    Unsupported(&'static str),
    /// A key set without one key that may sign ID tokens.
    #[error(
        "the provider's key set has no RSA key of 2048 to 4096 bits and no P-256 or P-384 key for signatures; let it sign by RS256 or ES256"
    )]
    NoKeys,
    /// The token endpoint refused (RFC 6749, 5.2).
    #[error(
        "the token endpoint refused with status {status} and the error {error:?} ({description:?}); check client_id, client_secret and the redirect URL at the provider"
    )]
    Refused {
        status: u16,
        error: String,
        description: String,
    },
}

impl OidcError {
    /// The stable name of the error, for the log and the audit record.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Authorities(_) => "authorities",
            Self::Setting { .. } => "setting",
            Self::Parameter(_) => "authorization_parameter",
            Self::Unreachable(_) => "provider_unreachable",
            Self::Broken(_) => "provider_connection_broken",
            Self::TimedOut => "provider_timed_out",
            Self::Status { .. } => "provider_status",
            Self::TooLarge { .. } => "provider_answer_too_large",
            Self::Malformed { .. } => "provider_answer_malformed",
            Self::IssuerDiffers { .. } => "metadata_issuer",
            Self::IssuerTemplate(_) => "metadata_issuer_template",
            Self::Endpoint { .. } => "metadata_endpoint",
            Self::Unsupported(_) => "metadata_unsupported",
            Self::NoKeys => "no_keys",
            Self::Refused { .. } => "token_refused",
        }
    }

    /// Whether the same question may have an answer later, with nothing changed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Broken(_) | Self::TimedOut => true,
            Self::Status { status, .. } => is_transient_status(*status),
            Self::Refused { status, error, .. } => {
                is_transient_status(*status)
                    || matches!(
                        error.as_str(),
                        "temporarily_unavailable" | "server_error" | "slow_down"
                    )
            }
            _ => false,
        }
    }

    /// Without words of the provider's that repeat one of `sent`, which may stand in no log, record or answer.
    pub(super) fn without(self, sent: &[&str]) -> Self {
        let clean = |text: String| {
            let repeats = sent.iter().any(|secret| begins_in(&text, secret));
            if repeats { REPEATED.to_owned() } else { text }
        };
        match self {
            Self::Refused {
                status,
                error,
                description,
            } => Self::Refused {
                status,
                error: clean(error),
                description: clean(description),
            },
            other => other,
        }
    }

    /// Whether the provider says that the grant itself is over (RFC 6749, 5.2): the code or the refresh token
    /// is used up, expired or revoked.
    pub fn is_invalid_grant(&self) -> bool {
        matches!(self, Self::Refused { error, .. } if error == "invalid_grant")
    }
}

/// Whether `secret`, or as much of it as betrays it, stands in a text that may have been cut.
fn begins_in(text: &str, secret: &str) -> bool {
    let beginning: String = secret.chars().take(TELLING).collect();
    !beginning.is_empty() && text.contains(&beginning)
}

fn is_transient_status(status: u16) -> bool {
    status >= 500 || status == 429 || status == 408
}
