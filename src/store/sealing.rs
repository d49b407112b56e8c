//! Secrets at rest: AES-256-GCM, bound to the table, row and column they stand in.
//!
//! A sealed value is `key id (4) | nonce (12) | ciphertext | tag (16)`. The key id says which master
//! key it is under, so that keys can be rotated. Moved to another row, a value does not open.
//!
//! The sealer holds every key of its source. Which one seals is told it from the store (`master_keys`): until it
//! hears that another took over it seals under the former, which harms nothing, since re-sealing finds that too. A
//! value under a key that it does not hold has it look at a key file once more, at most once a second.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use openssl::symm::{Cipher, decrypt_aead, encrypt_aead};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::key::MasterKey;
use super::{KeySource, MasterKeyId, MasterKeys, StoreError};
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

/// How often values under unknown keys may have the key file read.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Seals with the current master key, and opens with every one it holds.
pub(super) struct Sealer {
    ring: RwLock<Ring>,
    source: KeySource,
    looked: Mutex<Option<Instant>>,
    entropy: Arc<dyn Entropy>,
}

/// The keys that are held, and what the store says of them.
struct Ring {
    keys: Vec<MasterKey>,
    current: Option<MasterKeyId>,
    standing: KeyStanding,
    /// Those that were replaced, by all that was heard: none of them seals again.
    replaced: BTreeSet<MasterKeyId>,
    /// What the source had when it was read last; `None` where it could not be read.
    listed: Option<BTreeSet<MasterKeyId>>,
}

/// What the store says of master keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct KeyStanding {
    /// The one that seals.
    pub(super) current: Option<MasterKeyId>,
    /// Those that something may be sealed under, the current one among them.
    pub(super) needed: BTreeSet<MasterKeyId>,
    /// Those that nothing is sealed under any more.
    pub(super) retired: BTreeSet<MasterKeyId>,
    /// How often it changed, by the current key's word.
    pub(super) generation: u64,
}

impl Ring {
    fn get(&self, id: MasterKeyId) -> Option<&MasterKey> {
        self.keys.iter().find(|key| key.id() == id)
    }

    /// What is wrong with `new` as what the store says next: it takes back what was heard before.
    fn taken_back_by(&self, new: &KeyStanding) -> Option<(MasterKeyId, &'static str)> {
        let old = &self.standing;
        if let Some(current) = new.current {
            if self.replaced.contains(&current) {
                return Some((current, "was replaced, and is to seal again"));
            }
            if old.current == new.current && new.generation < old.generation {
                return Some((current, "has a check that was put back to an older one"));
            }
        }
        let revived = new.needed.intersection(&old.retired).next();
        revived.map(|id| (*id, "was retired, and is to be used again"))
    }

    /// Seals with the store's current key where it is held, else goes on with the one before.
    fn follow(&mut self) {
        self.keys
            .retain(|key| !self.standing.retired.contains(&key.id()));
        let KeyStanding {
            current,
            needed,
            retired,
            ..
        } = &self.standing;
        let former = needed.iter().filter(|id| Some(**id) != *current);
        self.replaced.extend(former.chain(retired));
        if let Some(current) = self.standing.current
            && self.get(current).is_some()
        {
            self.current = Some(current);
        }
    }
}

impl Sealer {
    pub(super) fn new(keys: MasterKeys, entropy: Arc<dyn Entropy>) -> Self {
        let (keys, source) = keys.into_parts();
        Self {
            ring: RwLock::new(Ring {
                current: keys.first().map(MasterKey::id),
                listed: Some(keys.iter().map(MasterKey::id).collect()),
                keys,
                standing: KeyStanding::default(),
                replaced: BTreeSet::new(),
            }),
            source,
            looked: Mutex::new(None),
            entropy,
        }
    }

    /// Where the keys came from.
    pub(super) fn source(&self) -> &KeySource {
        &self.source
    }

    /// The keys that are held, in the order of their source.
    pub(super) fn ids(&self) -> Vec<MasterKeyId> {
        self.ring().keys.iter().map(MasterKey::id).collect()
    }

    /// The key that seals.
    pub(super) fn current(&self) -> Option<MasterKeyId> {
        self.ring().current
    }

    /// Whether the key is held; looks into the key file once more where it is not.
    pub(super) fn holds(&self, id: MasterKeyId) -> bool {
        self.ring().get(id).is_some() || (self.look_again() && self.ring().get(id).is_some())
    }

    /// Takes in what the store says; gives the keys that are needed and not held. Refuses what takes back what it
    /// said before, and stays with that.
    pub(super) fn follow(&self, standing: KeyStanding) -> Result<Vec<MasterKeyId>, StoreError> {
        let needed: Vec<MasterKeyId> = standing.needed.iter().copied().collect();
        {
            let mut ring = self.ring_mut();
            if let Some((id, problem)) = ring.taken_back_by(&standing) {
                return Err(StoreError::Corrupt {
                    table: "sealing_keys",
                    row: id.to_string(),
                    problem: problem.to_owned(),
                });
            }
            ring.standing = standing;
            ring.follow();
        }
        let missing: Vec<MasterKeyId> = needed.into_iter().filter(|id| !self.holds(*id)).collect();
        self.ring_mut().follow();
        Ok(missing)
    }

    /// Takes the keys that the source has now; one that is gone there stays as long as something may be sealed
    /// under it. Says whether others are held than before.
    pub(super) fn take(&self, keys: Vec<MasterKey>) -> bool {
        let mut ring = self.ring_mut();
        ring.listed = Some(keys.iter().map(MasterKey::id).collect());
        let before: Vec<MasterKeyId> = ring.keys.iter().map(MasterKey::id).collect();
        let needed = &ring.standing.needed;
        let gone = |key: &&MasterKey| {
            needed.contains(&key.id()) && keys.iter().all(|new| new.id() != key.id())
        };
        let stay: Vec<MasterKey> = ring.keys.iter().filter(gone).cloned().collect();
        ring.keys = stay.into_iter().chain(keys).collect();
        ring.follow();
        !ring.keys.iter().map(MasterKey::id).eq(before)
    }

    /// That the source could not be read.
    pub(super) fn source_failed(&self) {
        self.ring_mut().listed = None;
    }

    /// The keys that are needed and were not in the source when it was read last; `None`: it could not be read.
    pub(super) fn unlisted(&self) -> Option<Vec<MasterKeyId>> {
        let ring = self.ring();
        let needed = &ring.standing.needed;
        let listed = ring.listed.as_ref()?;
        Some(needed.difference(listed).copied().collect())
    }

    /// Seals `plain` for `place` under the current key.
    pub(super) fn seal(&self, place: Place<'_>, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let ring = self.ring();
        match ring.current.and_then(|id| ring.get(id)) {
            Some(key) => self.seal_with(key, place, plain),
            None => Err(StoreError::Unavailable("no master key is held".to_owned())),
        }
    }

    /// Seals `plain` for `place` under the key `id`.
    pub(super) fn seal_under(
        &self,
        id: MasterKeyId,
        place: Place<'_>,
        plain: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        let ring = self.ring();
        let key = ring.get(id).ok_or_else(|| self.not_held(id))?;
        self.seal_with(key, place, plain)
    }

    /// Opens what was sealed for `place`.
    pub(super) fn open(
        &self,
        place: Place<'_>,
        blob: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let damaged = || place.damaged("is too short to be sealed");
        let id = MasterKeyId::of(blob).ok_or_else(damaged)?;
        let parts = split(blob).ok_or_else(damaged)?;
        if !self.holds(id) {
            return Err(self.unopened(place, id));
        }
        let ring = self.ring();
        let key = ring.get(id).ok_or_else(|| self.not_held(id))?;
        decrypt_aead(
            Cipher::aes_256_gcm(),
            key.bytes(),
            Some(parts.nonce),
            &place.bytes(),
            parts.sealed,
            parts.tag,
        )
        .map(Zeroizing::new)
        .map_err(|_| place.damaged("was changed, or belongs to another row"))
    }

    /// That the store needs a key which is not held.
    pub(super) fn not_held(&self, id: MasterKeyId) -> StoreError {
        StoreError::MasterKeyNotHeld {
            id,
            origin: self.source.to_string(),
        }
    }

    fn unopened(&self, place: Place<'_>, id: MasterKeyId) -> StoreError {
        if self.ring().standing.needed.contains(&id) {
            return self.not_held(id);
        }
        place.damaged(&format!("is sealed under another master key, {id}"))
    }

    fn seal_with(
        &self,
        key: &MasterKey,
        place: Place<'_>,
        plain: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        let mut nonce = [0; NONCE];
        self.entropy.fill(&mut nonce);
        let mut tag = [0; TAG];
        let sealed = encrypt_aead(
            Cipher::aes_256_gcm(),
            key.bytes(),
            Some(&nonce),
            &place.bytes(),
            plain,
            &mut tag,
        )
        .map_err(|error| StoreError::Unavailable(format!("sealing failed: {error}")))?;
        Ok([
            key.id().bytes().as_slice(),
            nonce.as_slice(),
            sealed.as_slice(),
            tag.as_slice(),
        ]
        .concat())
    }

    /// Reads a key file once more, unless that was just done; says whether it was.
    fn look_again(&self) -> bool {
        {
            let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
            if looked.is_some_and(|at| at.elapsed() < LOOK_AGAIN) {
                return false;
            }
            *looked = Some(Instant::now());
        }
        match self.source.read_at_once() {
            Some(Ok(keys)) => self.take(keys),
            // Whoever follows the file tells what is wrong with it.
            Some(Err(_)) | None => false,
        }
    }

    fn ring(&self) -> RwLockReadGuard<'_, Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring_mut(&self) -> RwLockWriteGuard<'_, Ring> {
        self.ring.write().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Parts<'a> {
    nonce: &'a [u8],
    sealed: &'a [u8],
    tag: &'a [u8],
}

fn split(blob: &[u8]) -> Option<Parts<'_>> {
    let (_, rest) = blob.split_at_checked(KEY_ID)?;
    let (nonce, rest) = rest.split_at_checked(NONCE)?;
    let (sealed, tag) = rest.split_at_checked(rest.len().checked_sub(TAG)?)?;
    Some(Parts { nonce, sealed, tag })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::OsEntropy;

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(
            MasterKeys::given([[byte; 32]], "a test"),
            Arc::new(OsEntropy),
        )
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

    #[test]
    fn a_former_key_opens_what_the_current_one_does_not_seal() {
        let (one, two) = (MasterKey::new([1; 32]).id(), MasterKey::new([2; 32]).id());
        let before = sealer(1).seal(HERE, b"secret").unwrap();
        let both = MasterKeys::given([[1; 32], [2; 32]], "a test");
        let sealer = Sealer::new(both, Arc::new(OsEntropy));
        let mut standing = KeyStanding {
            current: Some(two),
            needed: [one, two].into(),
            retired: BTreeSet::new(),
            generation: 1,
        };
        assert!(sealer.follow(standing.clone()).unwrap().is_empty());
        let after = sealer.seal(HERE, b"secret").unwrap();
        assert_eq!(MasterKeyId::of(&after), Some(two));
        for blob in [&before, &after] {
            assert_eq!(sealer.open(HERE, blob).unwrap().as_slice(), b"secret");
        }
        // Gone from its source, it stays while it is needed.
        sealer.take(vec![MasterKey::new([2; 32])]);
        assert!(sealer.open(HERE, &before).is_ok());
        standing.needed.remove(&one);
        standing.retired.insert(one);
        assert!(sealer.follow(standing.clone()).unwrap().is_empty());
        assert!(sealer.open(HERE, &before).is_err());
        assert!(sealer.open(HERE, &after).is_ok());
        let older = KeyStanding {
            generation: 0,
            ..standing.clone()
        };
        let revived = KeyStanding {
            needed: [one, two].into(),
            retired: BTreeSet::new(),
            ..standing.clone()
        };
        let turned = KeyStanding {
            current: Some(one),
            generation: 9,
            ..revived.clone()
        };
        for forged in [older, revived, turned] {
            let refused = sealer.follow(forged).unwrap_err();
            assert!(matches!(refused, StoreError::Corrupt { .. }), "{refused}");
            assert_eq!(sealer.current(), Some(two));
        }
        assert!(sealer.follow(standing).unwrap().is_empty());
    }

    #[test]
    fn a_key_that_is_needed_and_not_held_is_named() {
        let two = MasterKey::new([2; 32]).id();
        let blob = sealer(2).seal(HERE, b"secret").unwrap();
        let sealer = sealer(1);
        let standing = KeyStanding {
            current: Some(two),
            needed: [two].into(),
            retired: BTreeSet::new(),
            generation: 1,
        };
        assert_eq!(sealer.follow(standing).unwrap(), [two]);
        let named = StoreError::MasterKeyNotHeld {
            id: two,
            origin: "a test".to_owned(),
        };
        assert_eq!(sealer.open(HERE, &blob), Err(named));
        assert_eq!(
            sealer.current(),
            Some(MasterKey::new([1; 32]).id()),
            "it goes on with the one before"
        );
    }
}
