//! Bearer tokens: made once, shown once, kept as a hash.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::clock::{as_rfc3339, maybe_rfc3339};
use super::{CertificateName, Entropy, Secret, TextPattern, TokenId, TokenName, hex};

/// What a token is for; its first four characters say so, for scanners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// A program that starts jobs.
    Launcher,
    /// An admin or an auditor.
    Admin,
    /// A person's session, as a bearer token or in the cookie.
    Session,
    /// One job's lease.
    Lease,
    /// A command line that waits to be signed in.
    Device,
}

impl TokenKind {
    const ALL: [Self; 5] = [
        Self::Launcher,
        Self::Admin,
        Self::Session,
        Self::Lease,
        Self::Device,
    ];

    /// The characters that every token of this kind starts with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Launcher => "rgl_",
            Self::Admin => "rga_",
            Self::Session => "rgs_",
            Self::Lease => "rgj_",
            Self::Device => "rgd_",
        }
    }
}

/// 256 random bits as base64url behind the kind's prefix.
#[derive(Debug, Clone)]
pub struct Token {
    kind: TokenKind,
    text: Secret,
}

/// The text is no token; nothing of it is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "this is no rolegate token: it starts with rgl_, rga_, rgs_, rgj_ or rgd_ and has 47 characters"
)]
pub struct TokenError;

const RANDOM_BYTES: usize = 32;
const LENGTH: usize = 4 + 43;

impl Token {
    /// A new token.
    pub fn fresh(kind: TokenKind, entropy: &dyn Entropy) -> Self {
        let mut bytes = zeroize::Zeroizing::new([0; RANDOM_BYTES]);
        entropy.fill(&mut *bytes);
        let text = format!("{}{}", kind.prefix(), URL_SAFE_NO_PAD.encode(*bytes));
        Self {
            kind,
            text: Secret::new(text),
        }
    }

    /// What it is for.
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// The hash that the store keeps.
    pub fn hash(&self) -> TokenHash {
        TokenHash(openssl::sha::sha256(self.text.expose().as_bytes()))
    }

    /// The token itself, for the one who asked for it.
    pub fn into_secret(self) -> Secret {
        self.text
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let kind = TokenKind::ALL
            .into_iter()
            .find(|kind| text.starts_with(kind.prefix()))
            .ok_or(TokenError)?;
        let url_safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if text.len() != LENGTH || !text.bytes().all(url_safe) {
            return Err(TokenError);
        }
        Ok(Self {
            kind,
            text: Secret::new(text.to_owned()),
        })
    }
}

/// SHA-256 of a token. Tokens carry 256 random bits, so that a plain hash cannot be searched.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash that a row was stored with.
    pub(crate) fn from_stored(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The hash's bytes, as the store keeps them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({})", hex(self.0.get(..4).unwrap_or_default()))
    }
}

/// What the holder of an API token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Leases, within the token's patterns.
    Launcher,
    /// Everything under `/api/v1/admin`.
    Admin,
    /// Reading under `/api/v1/admin`.
    Auditor,
}

impl Role {
    /// The name on the command line and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Launcher => "launcher",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
        }
    }

    /// What `rolegate tokens create` takes for a token of it.
    pub fn options(self) -> &'static str {
        match self {
            Self::Launcher => "--role launcher --for-roles PATTERN --for-users PATTERN",
            Self::Admin => "--role admin",
            Self::Auditor => "--role auditor",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An API token as the store knows it.
#[derive(Debug, Clone, Serialize)]
pub struct TokenRecord {
    /// Its identifier.
    pub id: TokenId,
    /// Its name; several tokens may share one.
    pub name: TokenName,
    /// What it permits.
    pub role: Role,
    /// A launcher's roles; `None` for the other roles.
    pub for_roles: Option<TextPattern>,
    /// A launcher's users; `None` for the other roles.
    pub for_users: Option<TextPattern>,
    /// When it was made.
    #[serde(serialize_with = "as_rfc3339")]
    pub created_at: DateTime<Utc>,
    /// When it stops; `None` is never.
    #[serde(serialize_with = "maybe_rfc3339")]
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    #[serde(serialize_with = "maybe_rfc3339")]
    pub revoked_at: Option<DateTime<Utc>>,
    /// The client's certificate that a connection must have shown for it to count.
    pub certificate_subject: Option<CertificateName>,
    /// Whether that certificate is all there is: then there is no token.
    pub without_token: bool,
}

impl TokenRecord {
    /// Whether it counts at `now`.
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::OsEntropy;

    #[test]
    fn a_token_survives_its_text_and_hides_in_debug() {
        let token = Token::fresh(TokenKind::Lease, &OsEntropy);
        let hash = token.hash();
        assert!(!format!("{token:?}").contains("rgj_"));
        let text = token.into_secret();
        assert_eq!(text.expose().parse::<Token>().unwrap().hash(), hash);
        assert!(text.expose().starts_with("rgj_"));
    }

    #[test]
    fn refuses_other_text() {
        for bad in [
            "",
            "rgj_",
            "rgx_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "Bearer x",
        ] {
            assert!(bad.parse::<Token>().is_err(), "{bad:?}");
        }
    }
}
