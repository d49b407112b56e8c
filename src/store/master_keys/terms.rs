//! What is said of master keys: what each is to the store, and why one does not take over or is not retired.

use chrono::{DateTime, Utc};
use thiserror::Error;

use crate::store::gateways::GatewayRow;
use crate::store::{MasterKeyId, StoreError};

/// What a master key is to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MasterKeyState {
    /// It seals.
    Current,
    /// It opens what was sealed under it before.
    Former,
    /// Nothing is sealed under it, nor will be.
    Retired,
}

impl MasterKeyState {
    /// The state's stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Former => "former",
            Self::Retired => "retired",
        }
    }
}

impl std::str::FromStr for MasterKeyState {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Current, Self::Former, Self::Retired]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or("no state of a master key")
    }
}

/// A master key as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterKeyRow {
    /// The key.
    pub id: MasterKeyId,
    /// What it is to the store.
    pub state: MasterKeyState,
    /// When the store first saw it.
    pub created_at: DateTime<Utc>,
    /// When the next one took over.
    pub replaced_at: Option<DateTime<Utc>>,
    /// When it was retired.
    pub retired_at: Option<DateTime<Utc>>,
    /// The check that it alone opens.
    pub(super) check: Vec<u8>,
}

/// Why no other key took over.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RotateError {
    /// It is no new key.
    #[error("the store knows the master key {0} already; add another")]
    Known(MasterKeyId),
    /// Gateways at work do not have it.
    #[error("{} of the gateways at work lack the master key {id}", .gateways.len())]
    NotHeld {
        /// The key.
        id: MasterKeyId,
        /// Those that lack it.
        gateways: Vec<GatewayRow>,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a key was not retired.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RetireError {
    /// The store has never seen it.
    #[error("the store knows no master key {0}; `rolegate keys list` shows those it does")]
    Unknown(MasterKeyId),
    /// It seals.
    #[error(
        "the master key {0} is the one that seals; `rolegate keys rotate` has another take over"
    )]
    Current(MasterKeyId),
    /// Something is sealed under it.
    #[error(
        "{values} values are still sealed under the master key {id}; a running gateway goes on re-sealing them, and so does `rolegate keys rotate`"
    )]
    InUse {
        /// The key.
        id: MasterKeyId,
        /// How many.
        values: u64,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for RotateError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<sqlx::Error> for RetireError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}
