//! Paths and files that the configuration names: taken from its folder, and read once at start.

use std::path::{Path, PathBuf};

use openssl::pkey::{Id, PKey, Private};
use openssl::x509::X509;

use super::findings::Findings;
use super::problem::ConfigError;

/// The folder that relative paths start at.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// The folder of `file`, absolute where the system tells.
    pub(super) fn of(file: &Path) -> Self {
        let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        Self(
            absolute
                .parent()
                .map_or_else(PathBuf::new, Path::to_path_buf),
        )
    }

    /// `path` as seen from this folder.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// The path at `key`, if there is a readable file.
    pub(super) fn readable(
        &self,
        key: &str,
        path: &str,
        findings: &mut Findings,
    ) -> Option<PathBuf> {
        if path.trim().is_empty() {
            findings.refuse(key, ConfigError::Empty("a path"));
            return None;
        }
        let path = self.path(path);
        findings.take(key, read(&path)).map(|_| path)
    }
}

/// The file's bytes.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let unreadable = |reason: String| ConfigError::Unreadable {
        path: path.to_owned(),
        reason,
    };
    // A device or FIFO would be read for ever.
    let about = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    if !about.is_file() {
        return Err(unreadable("is no file".to_owned()));
    }
    std::fs::read(path).map_err(|error| unreadable(error.to_string()))
}

/// The leaf certificate of a PEM file.
pub(super) fn certificate(path: &Path) -> Result<X509, ConfigError> {
    let not_pem = || ConfigError::NotPem {
        path: path.to_owned(),
        what: "PEM certificate",
    };
    let chain = X509::stack_from_pem(&read(path)?).map_err(|_| not_pem())?;
    chain.into_iter().next().ok_or_else(not_pem)
}

/// The private key of a PEM file. An encrypted one is refused rather than asked for at a terminal.
pub(super) fn private_key(path: &Path) -> Result<PKey<Private>, ConfigError> {
    let pem = read(path)?;
    PKey::private_key_from_pem_callback(&pem, |_| Ok(0)).map_err(|_| ConfigError::NotPem {
        path: path.to_owned(),
        what: "PEM private key without a passphrase",
    })
}

/// Whether the key is one that nobody can break today.
pub(super) fn is_strong(key: &PKey<Private>) -> bool {
    match key.id() {
        Id::RSA | Id::RSA_PSS => key.bits() >= 2048,
        Id::EC => key.bits() >= 256,
        Id::ED25519 | Id::ED448 => true,
        _ => false,
    }
}
