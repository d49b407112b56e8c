//! A provider's client secret: written in the configuration, or in a file that is read again when it changes.

use std::path::Path;
use std::sync::{PoisonError, RwLock};

use super::error::SecretProblem;
use crate::config::ClientSecret;
use crate::model::Secret;

/// Longer than any provider's.
const LONGEST: usize = 4096;

/// The secret in force.
pub(super) struct SecretInForce {
    source: ClientSecret,
    now: RwLock<Secret>,
}

/// What became of a look at the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It is the secret in force.
    Same,
    /// Another secret is in force now.
    Taken,
}

impl SecretInForce {
    /// Reads the secret.
    pub(super) fn load(source: &ClientSecret) -> Result<Self, SecretProblem> {
        let secret = match source {
            ClientSecret::Inline(secret) => secret.clone(),
            ClientSecret::File(file) => read(file)?,
        };
        Ok(Self {
            source: source.clone(),
            now: RwLock::new(secret),
        })
    }

    /// The secret in force.
    pub(super) fn now(&self) -> Secret {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        now.clone()
    }

    /// The file, where there is one.
    pub(super) fn file(&self) -> Option<&Path> {
        match &self.source {
            ClientSecret::Inline(_) => None,
            ClientSecret::File(file) => Some(file),
        }
    }

    /// Reads the file, and takes up what is in it if that is another secret; a bad one changes nothing.
    pub(super) fn look(&self) -> Result<Look, SecretProblem> {
        let Some(file) = self.file() else {
            return Ok(Look::Same);
        };
        let secret = read(file)?;
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        if *now == secret {
            return Ok(Look::Same);
        }
        *now = secret;
        Ok(Look::Taken)
    }
}

/// The one line of `file`, without its end.
fn read(file: &Path) -> Result<Secret, SecretProblem> {
    let text = zeroize::Zeroizing::new(std::fs::read(file).map_err(SecretProblem::Unreadable)?);
    let line = text.trim_ascii();
    let plain = (1..=LONGEST).contains(&line.len())
        && line.iter().all(|byte| matches!(byte, b' '..=b'~'));
    let line = std::str::from_utf8(line).ok().filter(|_| plain);
    line.map(|line| Secret::new(line.to_owned()))
        .ok_or(SecretProblem::NoSecret)
}
