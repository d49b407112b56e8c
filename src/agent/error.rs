//! What the job side fails of, each with what to do about it.

use std::path::PathBuf;

use thiserror::Error;

/// Why a command of the job side ended without doing its work.
#[derive(Debug, Error)]
pub enum AgentError {
    /// No gateway.
    #[error("no gateway is named; pass --url https://gate.example.org or set ROLEGATE_URL")]
    NoUrl,
    /// The gateway's address is no URL.
    #[error("--url is no URL ({0}); write https://gate.example.org")]
    BadUrl(url::ParseError),
    /// The address holds what no gateway's address holds.
    #[error(
        "--url holds a {0}, which it must not; write scheme, host and path alone, as in https://gate.example.org"
    )]
    UrlHolds(&'static str),
    /// A token would travel in the clear.
    #[error("--url takes https, or http on loopback: a token must not travel in the clear")]
    Cleartext,
    /// Nobody to ask as.
    #[error(
        "there is no lease token: set ROLEGATE_LEASE_TOKEN or pass --lease-token-file; or pass --role ARN to use your own sign-in (`rolegate login`)"
    )]
    NoIdentity,
    /// A person's own sign-in gives no web identity token.
    #[error(
        "a web identity token is given for a lease alone: set ROLEGATE_LEASE_TOKEN or pass --lease-token-file"
    )]
    LeaseNeeded,
    /// The lease token is none.
    #[error("{0} holds no lease token; one starts with rgj_ and has 47 characters")]
    BadLeaseToken(&'static str),
    /// The authorities of `SSL_CERT_FILE` cannot be used, or TLS cannot.
    #[error("TLS cannot be set up ({0}); let SSL_CERT_FILE name a PEM file, or unset it")]
    Tls(String),
    /// What the gateway answered, or that it did not.
    #[error("{0}")]
    Gateway(#[from] Trouble),
    /// An address that others can reach.
    #[error(
        "--listen takes a loopback address alone, as in 127.0.0.1:0: whoever reaches it could ask for the credentials"
    )]
    NotLoopback,
    /// The address cannot be had.
    #[error("cannot listen on {address} ({problem}); choose another with --listen")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system says.
        problem: std::io::Error,
    },
    /// A file of ours.
    #[error("cannot write {path}: {problem}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        problem: std::io::Error,
    },
    /// Neither `XDG_STATE_HOME` nor `HOME`.
    #[error("there is no place to keep the sign-in: set HOME or XDG_STATE_HOME")]
    NoHome,
    /// The command to run is not there.
    #[error("{0}: command not found")]
    CommandNotFound(String),
    /// The command cannot be run.
    #[error("{command}: cannot be run ({problem})")]
    CommandNotRun {
        /// The command.
        command: String,
        /// What the system says.
        problem: std::io::Error,
    },
    /// The login was not confirmed.
    #[error("nobody confirmed the code in time; run `rolegate login` again")]
    LoginTimedOut,
    /// The login was refused.
    #[error("the sign-in was refused; run `rolegate login` again if that was a mistake")]
    LoginDenied,
    /// The gateway's answer is none that a gateway gives.
    #[error(
        "the gateway answered with something else than expected; is --url the address of a rolegate?"
    )]
    Unexpected,
    /// The system.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

/// Why there are no credentials; told to the SDK as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Trouble {
    /// The gateway says no.
    #[error("the gateway refused with {status} {code}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The stable code.
        code: String,
        /// The gateway's sentence.
        message: String,
    },
    /// The gateway cannot be had, or is in trouble itself: what is held stays good.
    #[error("{0}")]
    Away(String),
}

impl Trouble {
    /// Whether credentials that are held must be dropped.
    pub(super) fn ends_it(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                status: 401 | 403,
                ..
            }
        )
    }
}

impl AgentError {
    /// Whether the command was typed, or its environment set, in a way that cannot work.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::NoUrl
                | Self::BadUrl(_)
                | Self::UrlHolds(_)
                | Self::Cleartext
                | Self::NoIdentity
                | Self::LeaseNeeded
                | Self::BadLeaseToken(_)
                | Self::NotLoopback
        )
    }
}
