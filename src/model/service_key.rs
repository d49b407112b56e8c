//! rolegate's own SAML key pairs as they are stored and passed on: text, not arithmetic.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use thiserror::Error;

use super::{Secret, ServiceKeyId};

/// What a key pair is for (SAML 2.0 metadata, 2.4.1.1, `use`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyUse {
    /// Signing what rolegate sends to identity providers.
    Signing,
    /// Opening what they encrypt for rolegate.
    Encryption,
}

/// A text that is no key use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no use of a key; write signing or encryption")]
pub struct KeyUseError(String);

impl KeyUse {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Signing, Self::Encryption];

    /// The name in metadata, commands and columns.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signing => "signing",
            Self::Encryption => "encryption",
        }
    }
}

impl fmt::Display for KeyUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KeyUse {
    type Err = KeyUseError;

    fn from_str(text: &str) -> Result<Self, KeyUseError> {
        Self::ALL
            .into_iter()
            .find(|usage| usage.as_str() == text)
            .ok_or_else(|| KeyUseError(text.chars().take(80).collect()))
    }
}

/// A key pair of rolegate's own, with the certificate that identity providers are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceKeyRecord {
    /// What commands name it by.
    pub id: ServiceKeyId,
    /// What it is for.
    pub usage: KeyUse,
    /// PKCS#8 in PEM, not encrypted: the store seals it.
    pub private_key: Secret,
    /// The self-signed certificate in PEM.
    pub certificate: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The certificate's end.
    pub not_after: DateTime<Utc>,
}
