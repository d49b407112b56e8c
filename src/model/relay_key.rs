//! The keys that relay tokens are signed with, as they are stored and passed on: text, not arithmetic.

use chrono::{DateTime, TimeDelta, Utc};

use super::{RelayKeyId, Secret};

/// How long a key stays published after its successor took over: AWS keeps what it read of an issuer's keys
/// for a time that it does not tell.
pub const RELAY_KEYS_STAY: TimeDelta = TimeDelta::hours(48);

/// When a key should have a successor.
pub const RELAY_KEY_AGES: TimeDelta = TimeDelta::days(90);

/// A key pair that relay tokens are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayKeyRecord {
    /// Its `kid`.
    pub id: RelayKeyId,
    /// Its place in the succession, one more than its predecessor's: no two processes make the same.
    pub number: i64,
    /// PKCS#8 in PEM, not encrypted: the store seals it.
    pub private_key: Secret,
    /// The public half as it is published, a JSON object.
    pub public_jwk: String,
    /// When it was made, and published.
    pub created_at: DateTime<Utc>,
    /// When it begins to sign.
    pub signs_from: DateTime<Utc>,
    /// When its successor takes over; it stays published for a while.
    pub retired_at: Option<DateTime<Utc>>,
}
