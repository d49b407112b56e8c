//! Secrets at rest: AES-256-GCM, bound to the table, row and column they stand in.
//!
//! A sealed value is `key id (4) | nonce (12) | ciphertext | tag (16)`. The key id says which master
//! key it is under, so that keys can be rotated. Moved to another row, a value does not open.

use std::sync::Arc;

use openssl::symm::{Cipher, decrypt_aead, encrypt_aead};
use zeroize::Zeroizing;

use super::{MasterKey, StoreError};
use crate::model::Entropy;

const KEY_ID: usize = 4;
const NONCE: usize = 12;
const TAG: usize = 16;

/// Where a sealed value stands.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// The table.
    pub(super) table: &'static str,
    /// The row's key, and whatever else of the row must not be exchanged under the value.
    pub(super) row: &'a str,
    /// The column.
    pub(super) column: &'static str,
}

impl Place<'_> {
    fn bytes(&self) -> Vec<u8> {
        // Neither table nor column holds a bar, so that no two places look alike.
        format!("{}|{}|{}", self.table, self.row, self.column).into_bytes()
    }

    fn damaged(&self, problem: &str) -> StoreError {
        let row = self.row.lines().next().unwrap_or("").to_owned();
        StoreError::Corrupt {
            table: self.table,
            row,
            problem: format!("column {} {problem}", self.column),
        }
    }
}

/// Seals and opens with one master key.
pub(super) struct Sealer {
    key: MasterKey,
    id: [u8; KEY_ID],
    entropy: Arc<dyn Entropy>,
}

impl Sealer {
    pub(super) fn new(key: MasterKey, entropy: Arc<dyn Entropy>) -> Self {
        let labelled = Zeroizing::new([b"rolegate key id\n".as_slice(), key.bytes()].concat());
        let mut id = [0; KEY_ID];
        for (to, from) in id.iter_mut().zip(openssl::sha::sha256(&labelled)) {
            *to = from;
        }
        Self { key, id, entropy }
    }

    /// Where the key came from, for errors.
    pub(super) fn origin(&self) -> &str {
        self.key.origin()
    }

    /// Seals `plain` for `place`.
    pub(super) fn seal(&self, place: Place<'_>, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut nonce = [0; NONCE];
        self.entropy.fill(&mut nonce);
        let mut tag = [0; TAG];
        let sealed = encrypt_aead(
            Cipher::aes_256_gcm(),
            self.key.bytes(),
            Some(&nonce),
            &place.bytes(),
            plain,
            &mut tag,
        )
        .map_err(|error| StoreError::Unavailable(format!("sealing failed: {error}")))?;
        Ok([
            self.id.as_slice(),
            nonce.as_slice(),
            sealed.as_slice(),
            tag.as_slice(),
        ]
        .concat())
    }

    /// Opens what was sealed for `place`.
    pub(super) fn open(
        &self,
        place: Place<'_>,
        blob: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let parts = split(blob).ok_or_else(|| place.damaged("is too short to be sealed"))?;
        if parts.key_id != self.id {
            return Err(place.damaged("is sealed under another master key"));
        }
        decrypt_aead(
            Cipher::aes_256_gcm(),
            self.key.bytes(),
            Some(parts.nonce),
            &place.bytes(),
            parts.sealed,
            parts.tag,
        )
        .map(Zeroizing::new)
        .map_err(|_| place.damaged("was changed, or belongs to another row"))
    }
}

struct Parts<'a> {
    key_id: &'a [u8],
    nonce: &'a [u8],
    sealed: &'a [u8],
    tag: &'a [u8],
}

fn split(blob: &[u8]) -> Option<Parts<'_>> {
    let (key_id, rest) = blob.split_at_checked(KEY_ID)?;
    let (nonce, rest) = rest.split_at_checked(NONCE)?;
    let (sealed, tag) = rest.split_at_checked(rest.len().checked_sub(TAG)?)?;
    Some(Parts {
        key_id,
        nonce,
        sealed,
        tag,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::OsEntropy;

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(MasterKey::new([byte; 32], "a test"), Arc::new(OsEntropy))
    }

    const HERE: Place<'static> = Place {
        table: "credentials",
        row: "a",
        column: "sealed",
    };

    #[test]
    fn opens_where_it_was_sealed_and_nowhere_else() {
        let sealer = sealer(1);
        let blob = sealer.seal(HERE, b"secret").unwrap();
        assert_eq!(sealer.open(HERE, &blob).unwrap().as_slice(), b"secret");
        let elsewhere = [
            Place { row: "b", ..HERE },
            Place {
                column: "other",
                ..HERE
            },
            Place {
                table: "sessions",
                ..HERE
            },
        ];
        for place in elsewhere {
            assert!(matches!(
                sealer.open(place, &blob),
                Err(StoreError::Corrupt { .. })
            ));
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let sealer = sealer(1);
        let blob = sealer.seal(HERE, b"secret").unwrap();
        for at in 0..blob.len() {
            let mut changed = blob.clone();
            changed[at] ^= 1;
            assert!(sealer.open(HERE, &changed).is_err(), "byte {at}");
            assert!(sealer.open(HERE, &blob[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn another_key_does_not_open_and_no_two_sealings_are_alike() {
        let blob = sealer(1).seal(HERE, b"secret").unwrap();
        assert!(sealer(2).open(HERE, &blob).is_err());
        assert_ne!(blob, sealer(1).seal(HERE, b"secret").unwrap());
    }
}
