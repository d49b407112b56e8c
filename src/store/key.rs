//! The master key: 32 bytes in a file, made once, before the first database.
//!
//! Trusts the file system for who may read it. Never makes a key where a database exists already,
//! since that would hide that the right one is lost; never prints one.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::StoreError;
use crate::model::{Entropy, OsEntropy};

const KEY_BYTES: usize = 32;

/// The key that seals the store's secrets.
#[derive(Clone)]
pub struct MasterKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    origin: String,
}

impl MasterKey {
    /// A key of these bytes; `origin` says in errors where it came from.
    pub fn new(bytes: [u8; KEY_BYTES], origin: impl Into<String>) -> Self {
        Self {
            bytes: Zeroizing::new(bytes),
            origin: origin.into(),
        }
    }

    /// Reads the key at `path`; makes one, mode 0600, where there is neither key nor database.
    ///
    /// A new key is the operating system's randomness, whatever the rest of the program was handed.
    pub fn load_or_create(path: &Path, database_exists: bool) -> Result<Self, StoreError> {
        match File::open(path) {
            Ok(file) => Self::read(path, file),
            Err(error) if error.kind() == ErrorKind::NotFound && database_exists => {
                Err(StoreError::MasterKeyMissing {
                    path: path.display().to_string(),
                })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Self::create(path),
            Err(error) => Err(unusable(path, format!("cannot be read: {error}"))),
        }
    }

    /// The bytes, for sealing.
    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }

    /// Where the key came from.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    fn read(path: &Path, file: File) -> Result<Self, StoreError> {
        let mut text = Zeroizing::new(String::new());
        // A key is 44 characters; whatever is longer is another file.
        file.take(128)
            .read_to_string(&mut text)
            .map_err(|error| unusable(path, format!("cannot be read: {error}")))?;
        let decoded = STANDARD.decode(text.trim()).map(Zeroizing::new).ok();
        let bytes = decoded.and_then(|bytes| <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).ok());
        let bytes = bytes.ok_or_else(|| {
            unusable(
                path,
                "does not hold 32 bytes in base64; restore the file, or make one with `openssl rand -base64 32` for a new database".to_owned(),
            )
        })?;
        Ok(Self::new(bytes, path.display().to_string()))
    }

    fn create(path: &Path) -> Result<Self, StoreError> {
        let key = {
            let mut bytes = Zeroizing::new([0; KEY_BYTES]);
            OsEntropy.fill(&mut *bytes);
            Self::new(*bytes, path.display().to_string())
        };
        let text = Zeroizing::new(format!("{}\n", STANDARD.encode(*key.bytes)));
        write_new(path, text.as_bytes())
            .map_err(|error| unusable(path, format!("cannot be made: {error}")))?;
        Ok(key)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey(from {})", self.origin)
    }
}

/// Writes a file that must not exist yet, and waits until it is on disk: a database sealed with a key
/// that a power cut took away would be lost.
fn write_new(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn unusable(path: &Path, problem: String) -> StoreError {
    StoreError::MasterKeyUnusable {
        path: path.display().to_string(),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_with_mode_0600_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rolegate.key");
        let made = MasterKey::load_or_create(&path, false).unwrap();
        let permissions = std::fs::metadata(&path).unwrap().permissions();
        assert_eq!(permissions.mode() & 0o777, 0o600);
        let read = MasterKey::load_or_create(&path, true).unwrap();
        assert_eq!(made.bytes(), read.bytes());
        assert!(!format!("{made:?}").contains(&STANDARD.encode(made.bytes())));
    }

    #[test]
    fn no_key_is_made_beside_a_database() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rolegate.key");
        let refused = MasterKey::load_or_create(&path, true).unwrap_err();
        assert!(matches!(refused, StoreError::MasterKeyMissing { .. }));
        assert!(refused.to_string().contains("rolegate.key"));
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rolegate.key");
        for bad in ["", "not base64!", "YWJj", &"QUJD".repeat(100)] {
            std::fs::write(&path, bad).unwrap();
            let refused = MasterKey::load_or_create(&path, false).unwrap_err();
            assert!(
                matches!(refused, StoreError::MasterKeyUnusable { .. }),
                "{bad:?}"
            );
        }
    }
}
