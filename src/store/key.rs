//! Master keys: 32 bytes each, several in a ring, named by an id that gives nothing of them away.
//!
//! Which one seals is the store's to say, not the ring's. Never prints one.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use zeroize::Zeroizing;

use super::{KeySource, StoreError};
use crate::model::{Entropy, OsEntropy};

const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 4;

/// More would only hide which one is in use.
const MOST: usize = 32;

/// What a master key is called: `mk_` and eight hexadecimal digits, of a hash of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MasterKeyId([u8; ID_BYTES]);

impl MasterKeyId {
    /// What a value sealed under the key begins with.
    pub(super) fn bytes(self) -> [u8; ID_BYTES] {
        self.0
    }

    /// The key that `blob` is sealed under, if it is long enough to say.
    pub(super) fn of(blob: &[u8]) -> Option<Self> {
        blob.first_chunk().copied().map(Self)
    }
}

impl fmt::Display for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mk_{:08x}", u32::from_be_bytes(self.0))
    }
}

/// A text that names no master key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a master key is named mk_ and eight hexadecimal digits; `rolegate keys list` shows them")]
pub struct NoMasterKeyId;

impl FromStr for MasterKeyId {
    type Err = NoMasterKeyId;

    fn from_str(text: &str) -> Result<Self, NoMasterKeyId> {
        let digits = text.strip_prefix("mk_").ok_or(NoMasterKeyId)?;
        let plain = digits.len() == 2 * ID_BYTES
            && digits
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = u32::from_str_radix(digits, 16).ok().filter(|_| plain);
        number
            .map(|number| Self(number.to_be_bytes()))
            .ok_or(NoMasterKeyId)
    }
}

/// A key that seals the store's secrets.
#[derive(Clone)]
pub struct MasterKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    id: MasterKeyId,
}

impl MasterKey {
    /// A key of these bytes.
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        let labelled = Zeroizing::new([b"rolegate key id\n".as_slice(), &bytes].concat());
        let mut id = [0; ID_BYTES];
        for (to, from) in id.iter_mut().zip(openssl::sha::sha256(&labelled)) {
            *to = from;
        }
        Self {
            bytes: Zeroizing::new(bytes),
            id: MasterKeyId(id),
        }
    }

    /// A new key: the operating system's randomness, whatever the rest of the program was handed.
    pub(super) fn fresh() -> Self {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        OsEntropy.fill(&mut *bytes);
        Self::new(*bytes)
    }

    /// What it is called.
    pub fn id(&self) -> MasterKeyId {
        self.id
    }

    /// The bytes, for sealing.
    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }

    /// The line that a key file has for it.
    pub(super) fn line(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(*self.bytes))
    }

    /// The key of a line of text.
    pub(super) fn of_line(line: &str) -> Option<Self> {
        let decoded = STANDARD.decode(line.trim()).map(Zeroizing::new).ok()?;
        let bytes = <[u8; KEY_BYTES]>::try_from(decoded.as_slice()).ok()?;
        Some(Self::new(bytes))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id)
    }
}

/// All keys of a source, in its order, and the source.
#[derive(Debug, Clone)]
pub struct MasterKeys {
    keys: Vec<MasterKey>,
    source: KeySource,
}

impl MasterKeys {
    /// The keys that `source` has; where neither a key file nor a database is there yet, a file with a new key.
    pub async fn load_or_create(
        source: KeySource,
        database_exists: bool,
    ) -> Result<Self, StoreError> {
        let keys = source.read_or_create(database_exists).await?;
        Ok(Self { keys, source })
    }

    /// Keys that are from no file; `origin` says in errors where they came from.
    #[cfg(test)]
    pub(crate) fn given(keys: impl IntoIterator<Item = [u8; KEY_BYTES]>, origin: &str) -> Self {
        Self {
            keys: keys.into_iter().map(MasterKey::new).collect(),
            source: KeySource::Given(origin.to_owned()),
        }
    }

    pub(super) fn into_parts(self) -> (Vec<MasterKey>, KeySource) {
        (self.keys, self.source)
    }

    /// Their ids, in the order of the source.
    pub fn ids(&self) -> impl Iterator<Item = MasterKeyId> + '_ {
        self.keys.iter().map(MasterKey::id)
    }
}

/// The keys of a text, one a line beside blank lines and comments; says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Vec<MasterKey>, String> {
    let mut keys: Vec<MasterKey> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = MasterKey::of_line(line).ok_or_else(|| {
            format!("does not hold 32 bytes in base64 at line {}; restore the line, or make a key with `openssl rand -base64 32` for a new database", number + 1)
        })?;
        let known = keys.iter().find(|known| known.id == key.id);
        match known {
            Some(known) if known.bytes() == key.bytes() => {}
            Some(_) => {
                return Err(format!(
                    "holds two keys that would both be called {}; make another in place of the one at line {}",
                    key.id,
                    number + 1
                ));
            }
            None => keys.push(key),
        }
    }
    match keys.len() {
        0 => Err("does not hold 32 bytes in base64; restore the key, or make one with `openssl rand -base64 32` for a new database".to_owned()),
        1..=MOST => Ok(keys),
        more => Err(format!("holds {more} keys, which is more than {MOST}; run `rolegate keys retire` for former ones, and take out the lines of those that were retired")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stand_one_a_line_between_comments() {
        let [one, two] = [MasterKey::new([1; 32]), MasterKey::new([2; 32])];
        let text = format!(
            "# the first\n{}\n\n  {}  \n{}\n",
            *one.line(),
            *two.line(),
            *one.line()
        );
        let keys = parse(&text).unwrap();
        let ids: Vec<MasterKeyId> = keys.iter().map(MasterKey::id).collect();
        assert_eq!(ids, [one.id(), two.id()]);
        assert!(!format!("{keys:?}").contains(one.line().as_str()));
        for bad in [
            "",
            "# nothing\n",
            "not base64!",
            "YWJj",
            &"QUJD".repeat(100),
        ] {
            assert!(
                parse(bad).unwrap_err().contains("does not hold 32 bytes"),
                "{bad:?}"
            );
        }
        let wrong = parse(&format!("{}\nYWJj\n", *one.line())).unwrap_err();
        assert!(wrong.contains("line 2"), "{wrong}");
        let many: Vec<String> = (0..33_u8)
            .map(|byte| MasterKey::new([byte; 32]).line().to_string())
            .collect();
        assert!(
            parse(&many.join("\n"))
                .unwrap_err()
                .contains("more than 32")
        );
    }

    #[test]
    fn an_id_is_read_as_it_is_shown() {
        let id = MasterKey::new([1; 32]).id();
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in [
            "mk_",
            "mk_+1234567",
            "mk_0123456G",
            "mk_ABCDEF01",
            "key_01234567",
        ] {
            assert_eq!(bad.parse::<MasterKeyId>(), Err(NoMasterKeyId), "{bad}");
        }
    }
}
