//! The master key: 32 bytes in a file, made once, before the first database.
//!
//! Trusts the file system for who may read it. Never makes a key where a database exists already,
//! since that would hide that the right one is lost; never prints one.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
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
            Err(error) if error.kind() == ErrorKind::NotFound => Self::create_or_read(path),
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

    /// Another process may make it at the same time: the first one's counts.
    fn create_or_read(path: &Path) -> Result<Self, StoreError> {
        let key = {
            let mut bytes = Zeroizing::new([0; KEY_BYTES]);
            OsEntropy.fill(&mut *bytes);
            Self::new(*bytes, path.display().to_string())
        };
        let text = Zeroizing::new(format!("{}\n", STANDARD.encode(*key.bytes)));
        match write_new(path, text.as_bytes()) {
            Ok(()) => Ok(key),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let file = File::open(path)
                    .map_err(|error| unusable(path, format!("cannot be read: {error}")))?;
                Self::read(path, file)
            }
            Err(error) => Err(unusable(path, format!("cannot be made: {error}"))),
        }
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey(from {})", self.origin)
    }
}

/// Writes a file that must not exist yet, and waits until it is on disk: a database sealed with a key
/// that a power cut took away would be lost. It appears whole or not at all, so that a process that is killed on the
/// way leaves no half of a key that would keep the next from starting.
fn write_new(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    // Mode 0600, under a name of its own; gone once it is dropped.
    let mut file = tempfile::Builder::new()
        .prefix(".rolegate-key-")
        .tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
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
    fn of_many_that_make_a_key_at_once_all_have_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rolegate.key");
        let makers: Vec<_> = (0..16)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || MasterKey::load_or_create(&path, false).unwrap())
            })
            .collect();
        let kept = MasterKey::load_or_create(&path, true);
        let keys: Vec<_> = makers.into_iter().map(|one| one.join().unwrap()).collect();
        let kept = kept.unwrap_or_else(|_| MasterKey::load_or_create(&path, true).unwrap());
        assert!(keys.iter().all(|key| key.bytes() == kept.bytes()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
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
