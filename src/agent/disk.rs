//! The cache of `credential-process`: SDKs start it anew for each process, and none of them caches for it.
//!
//! A file's name and key are both made of the token, so that who does not hold the token can neither find nor
//! open it; and of gateway and role, so that one is not taken for another. What is damaged, foreign or over does
//! not count. It keeps nothing where the folder is another user's.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use openssl::symm::{Cipher, decrypt_aead, encrypt_aead};
use zeroize::Zeroizing;

use super::private_file;
use super::sign_in::home_folder;
use super::wire::JobCredentials;
use crate::model::{Entropy, Secret, hex};

const NONCE: usize = 12;
const TAG: usize = 16;
const TIME: usize = 8;
/// Files that were not written for so long are somebody's old token's.
const OLD: TimeDelta = TimeDelta::hours(48);

/// One token's credentials for one role at one gateway.
pub(super) struct Cache {
    path: PathBuf,
    key: Zeroizing<Vec<u8>>,
}

impl Cache {
    /// The cache in the folder of this user; `None` where there is no such place.
    pub(super) fn of_this_user(url: &str, role: &str, token: &Secret) -> Option<Self> {
        let folder = home_folder("XDG_CACHE_HOME", ".cache")?.join("rolegate");
        private_file::make_folder(&folder).ok()?;
        Self::in_folder(&folder, url, role, token).ok()
    }

    fn in_folder(folder: &Path, url: &str, role: &str, token: &Secret) -> Result<Self, ErrorStack> {
        let derive = |what: &str| {
            // HKDF's expand step; the token has 256 random bits and needs no extracting.
            let text = format!("rolegate credential cache 1\n{what}\n{url}\n{role}\n");
            let key = PKey::hmac(token.expose().as_bytes())?;
            let mut signer = Signer::new(MessageDigest::sha256(), &key)?;
            signer.sign_oneshot_to_vec(text.as_bytes())
        };
        Ok(Self {
            path: folder.join(hex(&derive("name")?)),
            key: Zeroizing::new(derive("key")?),
        })
    }

    /// What is kept, if it is not over.
    pub(super) fn read(&self, now: DateTime<Utc>) -> Option<JobCredentials> {
        let sealed = std::fs::read(&self.path).ok()?;
        let (nonce, rest) = sealed.split_at_checked(NONCE)?;
        let (tag, text) = rest.split_at_checked(TAG)?;
        let cipher = Cipher::aes_256_gcm();
        let plain = decrypt_aead(cipher, &self.key, Some(nonce), &self.place(), text, tag).ok()?;
        let plain = Zeroizing::new(plain);
        let (time, text) = plain.split_first_chunk::<TIME>()?;
        let at = DateTime::from_timestamp(i64::from_be_bytes(*time), 0)?;
        let kept = JobCredentials::read(text, at)?;
        // From the future: the machine's clock was set back, and what it says of their life is not so.
        (at <= now && !kept.is_over(now)).then_some(kept)
    }

    /// Keeps `had`; without it the next process asks again, which is no failure of this one.
    pub(super) fn write(&self, had: &JobCredentials, entropy: &dyn Entropy) {
        let sealed = self.seal(had, entropy);
        let _kept = sealed.and_then(|sealed| private_file::write(&self.path, &sealed, 0o600));
    }

    fn seal(&self, had: &JobCredentials, entropy: &dyn Entropy) -> io::Result<Vec<u8>> {
        let time = had.obtained_at().timestamp().to_be_bytes();
        let plain = Zeroizing::new([&time, had.container()?.as_bytes()].concat());
        let (mut nonce, mut tag) = ([0; NONCE], [0; TAG]);
        entropy.fill(&mut nonce);
        let cipher = Cipher::aes_256_gcm();
        let place = self.place();
        let text = encrypt_aead(cipher, &self.key, Some(&nonce), &place, &plain, &mut tag)?;
        Ok([nonce.as_slice(), &tag, &text].concat())
    }

    /// Forgets what is kept.
    pub(super) fn forget(&self) {
        // It may not be there.
        let _removed = std::fs::remove_file(&self.path);
    }

    /// Waits until no other process asks for the same, at most for `patience`: a gateway that hangs is then
    /// asked by each, and not by one after the other.
    pub(super) async fn lock(&self, patience: Duration) -> Option<File> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.open(self.path.with_extension("lock")).ok()?;
        let end = tokio::time::Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Some(file),
                Err(std::fs::TryLockError::WouldBlock) if tokio::time::Instant::now() < end => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(_) => return None,
            }
        }
    }

    /// Removes what old tokens have left behind.
    pub(super) fn sweep(&self, now: DateTime<Utc>) {
        let Some(entries) = self.path.parent().and_then(|folder| folder.read_dir().ok()) else {
            return;
        };
        for entry in entries.flatten() {
            let written = entry.metadata().and_then(|found| found.modified());
            if written.is_ok_and(|at| DateTime::<Utc>::from(at) + OLD < now) {
                // Another process may be faster.
                let _removed = std::fs::remove_file(entry.path());
            }
        }
    }

    fn place(&self) -> Vec<u8> {
        let name = self.path.file_name().unwrap_or_default();
        name.as_encoded_bytes().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::OsEntropy;

    fn at(minute: u32) -> DateTime<Utc> {
        format!("2026-01-01T00:{minute:02}:00Z").parse().unwrap()
    }

    fn had() -> JobCredentials {
        let text = r#"{"AccessKeyId":"ASIA1","SecretAccessKey":"hidden","Token":"token","Expiration":"2026-01-01T00:30:00Z"}"#;
        JobCredentials::read(text.as_bytes(), at(0)).unwrap()
    }

    fn cache(folder: &Path, url: &str, role: &str, token: &str) -> Cache {
        Cache::in_folder(folder, url, role, &Secret::new(token.to_owned())).unwrap()
    }

    #[test]
    fn keeps_sealed_until_it_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), "u", "r", "rgj_token");
        assert!(cache.read(at(1)).is_none());
        cache.write(&had(), &OsEntropy);
        let kept = cache.read(at(29)).unwrap();
        assert_eq!(kept.process().unwrap(), had().process().unwrap());
        assert_eq!(kept.life(), TimeDelta::minutes(30));
        assert!(cache.read(at(30)).is_none());
        let bytes = std::fs::read(&cache.path).unwrap();
        for clear in ["ASIA1", "hidden", "token"] {
            assert!(
                !bytes
                    .windows(clear.len())
                    .any(|part| part == clear.as_bytes())
            );
        }
        cache.forget();
        assert!(cache.read(at(1)).is_none());
    }

    #[test]
    fn is_of_one_token_gateway_and_role_and_no_changed_byte() {
        let folder = tempfile::tempdir().unwrap();
        let own = cache(folder.path(), "u", "r", "t");
        own.write(&had(), &OsEntropy);
        let bytes = std::fs::read(&own.path).unwrap();
        for other in [("v", "r", "t"), ("u", "s", "t"), ("u", "r", "o")] {
            let other = cache(folder.path(), other.0, other.1, other.2);
            assert_ne!(other.path, own.path);
            std::fs::write(&other.path, &bytes).unwrap();
            assert!(other.read(at(1)).is_none());
        }
        for position in [0, NONCE, NONCE + TAG, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[position] ^= 1;
            std::fs::write(&own.path, changed).unwrap();
            assert!(own.read(at(1)).is_none(), "{position}");
        }
        std::fs::write(&own.path, b"").unwrap();
        assert!(own.read(at(1)).is_none());
        std::fs::write(&own.path, &bytes).unwrap();
        assert!(own.read(at(1)).is_some());
    }
}
