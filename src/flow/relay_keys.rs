//! rolegate as the OIDC issuer that AWS trusts for method relay: the keys in force, the tokens, and the two
//! documents that AWS reads.
//!
//! A key is made when it is first needed. Its successor is published a day before it signs, and the one
//! before it stays published for two days after, since AWS keeps what it read of an issuer's keys for a
//! time that it does not tell. Trusts the store for which process made the next key; never publishes a
//! private half.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use thiserror::Error;
use tokio::sync::Mutex;

use crate::audit::{Event, EventKind, Recorder};
use crate::model::{
    Clock, Entropy, RELAY_KEY_AGES, RELAY_KEYS_STAY, RelayKeyId, RelayKeyRecord, rfc3339,
};
use crate::policy::Grant;
use crate::store::{Store, StoreError};
use crate::sts::RelayToken;
use crate::sts::relay::{FreshKey, RelayKey, TokenError};

/// How long a new key is published before it signs.
const PUBLISHED_BEFORE: TimeDelta = TimeDelta::hours(24);

/// Why there is no token, or no new key.
#[derive(Debug, Error)]
pub enum RelayError {
    /// The token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is a successor already.
    #[error(
        "{id} is published already and signs from {}; wait until then, or retire it with `rolegate keys retire {id}`",
        rfc3339(*from)
    )]
    NextWaits {
        /// The successor.
        id: RelayKeyId,
        /// When it takes over.
        from: DateTime<Utc>,
    },
    /// The thread that made a key died.
    #[error("no relay key could be made; try again")]
    Lost,
}

impl RelayError {
    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Token(TokenError::SubjectTooLong { .. }) => "relay-subject-too-long",
            Self::Token(TokenError::Key(_)) => "relay-key",
            Self::Store(_) => "store-away",
            Self::NextWaits { .. } => "relay-key-waits",
            Self::Lost => "relay-key-lost",
        }
    }

    /// Whether the same may succeed later without anybody mending anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Store(_) | Self::Lost)
    }
}

/// What the keys are made from.
pub struct RelayParts {
    /// Where keys are kept.
    pub store: Store,
    /// The audit.
    pub recorder: Recorder,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// `relay.issuer`.
    pub issuer: String,
    /// Whether rolegate publishes the documents itself, so that keys can change without an admin.
    pub publishes: bool,
}

/// The keys of one moment, oldest first.
#[derive(Default)]
struct Ring(Vec<Held>);

struct Held {
    id: RelayKeyId,
    number: i64,
    public_jwk: Value,
    created_at: DateTime<Utc>,
    signs_from: DateTime<Utc>,
    retired_at: Option<DateTime<Utc>>,
    key: RelayKey,
}

impl Held {
    fn read(record: RelayKeyRecord) -> Result<Self, TokenError> {
        let unreadable = |error: serde_json::Error| TokenError::Key(error.to_string());
        Ok(Self {
            key: RelayKey::from_pem(record.id.as_str(), &record.private_key)?,
            public_jwk: serde_json::from_str(&record.public_jwk).map_err(unreadable)?,
            id: record.id,
            number: record.number,
            created_at: record.created_at,
            signs_from: record.signs_from,
            retired_at: record.retired_at,
        })
    }

    fn is_published(&self, now: DateTime<Utc>) -> bool {
        self.retired_at
            .is_none_or(|retired| now < retired + RELAY_KEYS_STAY)
    }
}

impl Ring {
    /// Reads what the store holds; a key that OpenSSL cannot work with is logged and left out.
    fn read(records: Vec<RelayKeyRecord>) -> Self {
        let held = records.into_iter().filter_map(|record| {
            let id = record.id.clone();
            Held::read(record)
                .inspect_err(|error| tracing::error!(event = "relay_key_bad", key = %id, %error, "a relay key is left out"))
                .ok()
        });
        Self(held.collect())
    }

    /// The newest that may sign by now; where an admin retired that one, its successor before its time.
    fn signer(&self, now: DateTime<Utc>) -> Option<&Held> {
        let in_force = |held: &&Held| held.retired_at.is_none_or(|retired| now < retired);
        let ready = |held: &&Held| held.signs_from <= now;
        let held = || self.0.iter().filter(in_force);
        held().rfind(ready).or_else(|| held().next())
    }

    fn newest(&self) -> Option<&Held> {
        self.0.last()
    }

    fn jwks(&self, now: DateTime<Utc>) -> String {
        let published = self.0.iter().filter(|held| held.is_published(now));
        let keys: Vec<&Value> = published.map(|held| &held.public_jwk).collect();
        json!({ "keys": keys }).to_string()
    }
}

/// The keys in force, replaced when the store's change.
pub struct RelayKeys {
    parts: RelayParts,
    ring: RwLock<Arc<Ring>>,
    /// Who makes a key; others wait, and find it made.
    making: Mutex<()>,
}

impl fmt::Debug for RelayKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelayKeys(..)")
    }
}

impl RelayKeys {
    /// Reads the keys; makes none.
    pub async fn load(parts: RelayParts) -> Result<Self, StoreError> {
        let keys = Self {
            parts,
            ring: RwLock::default(),
            making: Mutex::default(),
        };
        keys.refresh().await?;
        Ok(keys)
    }

    /// Reads them again.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let ring = Arc::new(Ring::read(self.parts.store.relay_keys().await?));
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
        Ok(())
    }

    /// `relay.issuer`.
    pub fn issuer(&self) -> &str {
        &self.parts.issuer
    }

    /// When the key that signs now was made; `None` where there is none yet.
    pub fn signer_made_at(&self) -> Option<DateTime<Utc>> {
        let now = self.parts.clock.now();
        self.current().signer(now).map(|held| held.created_at)
    }

    /// A token that AWS takes for `grant`'s credentials for five minutes.
    pub async fn token(&self, grant: &Grant) -> Result<RelayToken, RelayError> {
        self.prepare().await?;
        let (clock, ring) = (&*self.parts.clock, self.current());
        let held = ring.signer(clock.now()).ok_or(RelayError::Lost)?;
        let entropy = &*self.parts.entropy;
        Ok(held.key.token(grant, self.issuer(), clock, entropy)?)
    }

    /// The keys that AWS may meet in a token, as a JWK set.
    pub fn jwks(&self) -> String {
        self.current().jwks(self.parts.clock.now())
    }

    /// What AWS reads first of an issuer (OpenID Connect Discovery 1.0, 3).
    pub fn configuration(&self) -> String {
        let issuer = self.issuer();
        json!({
            "issuer": issuer,
            "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "claims_supported": ["iss", "sub", "aud", "exp", "iat", "jti"],
        })
        .to_string()
    }

    /// Makes the first key where there is none.
    pub async fn prepare(&self) -> Result<(), RelayError> {
        let now = self.parts.clock.now();
        if self.current().signer(now).is_some() {
            return Ok(());
        }
        let _making = self.making.lock().await;
        // Whoever had the lock before may have made it.
        if self.current().signer(now).is_some() {
            return Ok(());
        }
        self.refresh().await?;
        let ring = self.current();
        if ring.signer(now).is_some() {
            return Ok(());
        }
        self.make(ring.newest(), now, None).await
    }

    /// Makes the next key, which signs a day from now; `by` is who asked for it.
    pub async fn rotate(&self, by: Option<String>) -> Result<RelayKeyId, RelayError> {
        let _making = self.making.lock().await;
        self.refresh().await?;
        let now = self.parts.clock.now();
        let ring = self.current();
        if let Some(next) = ring.newest().filter(|newest| now < newest.signs_from) {
            let (id, from) = (next.id.clone(), next.signs_from);
            return Err(RelayError::NextWaits { id, from });
        }
        let from = if ring.signer(now).is_some() {
            now + PUBLISHED_BEFORE
        } else {
            now
        };
        self.make(ring.newest(), from, by).await?;
        let made = self.current().newest().map(|newest| newest.id.clone());
        made.ok_or(RelayError::Lost)
    }

    /// Makes the next key where the newest has grown old and nobody has to publish it by hand. `true` if
    /// one was made.
    pub async fn rotate_if_due(&self) -> Result<bool, RelayError> {
        let now = self.parts.clock.now();
        let is_old =
            |held: &Held| held.created_at + RELAY_KEY_AGES <= now && held.signs_from <= now;
        if !self.parts.publishes || !self.current().newest().is_some_and(is_old) {
            return Ok(false);
        }
        match self.rotate(None).await {
            Ok(_) => Ok(true),
            Err(RelayError::NextWaits { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A key after `last`; another process that was faster made it as well as we.
    async fn make(
        &self,
        last: Option<&Held>,
        from: DateTime<Utc>,
        by: Option<String>,
    ) -> Result<(), RelayError> {
        let parts = &self.parts;
        let id = RelayKeyId::fresh(&*parts.clock, &*parts.entropy);
        let kid = id.to_string();
        let fresh = tokio::task::spawn_blocking(move || FreshKey::generate(&kid));
        let fresh = fresh.await.map_err(|_| RelayError::Lost)??;
        let record = RelayKeyRecord {
            number: last.map_or(0, |last| last.number) + 1,
            private_key: fresh.private_key,
            public_jwk: fresh.public_jwk,
            created_at: parts.clock.now(),
            signs_from: from,
            retired_at: None,
            id,
        };
        if parts.store.add_relay_key(&record).await? {
            let event = Event {
                by,
                reason: Some(format!(
                    "relay key {}, signs from {}",
                    record.id,
                    rfc3339(from)
                )),
                ..Event::new(EventKind::ServiceKeyCreated)
            };
            parts.recorder.record(event).await?;
        }
        Ok(self.refresh().await?)
    }

    fn current(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Method, OsEntropy, SessionDuration};
    use crate::store::testing::{Bench, role};

    const ISSUER: &str = "https://gate.example.org";

    async fn keys(bench: &Bench, publishes: bool) -> RelayKeys {
        let store = bench.open().await;
        let clock: Arc<dyn Clock> = bench.clock.clone();
        RelayKeys::load(RelayParts {
            recorder: Recorder::start(store.clone(), Arc::clone(&clock)),
            store,
            clock,
            entropy: Arc::new(OsEntropy),
            issuer: ISSUER.to_owned(),
            publishes,
        })
        .await
        .unwrap()
    }

    fn grant() -> Grant {
        let name = "alice".parse().unwrap();
        let grant = Grant::for_test(role("reader"), None, SessionDuration::DEFAULT, name);
        grant.for_method(Method::Relay, |_| {})
    }

    /// The `kid` that the next token carries.
    async fn signs(keys: &RelayKeys) -> String {
        use base64::Engine;
        let token = keys.token(&grant()).await.unwrap();
        assert_eq!(token.issuer, ISSUER);
        let head = token.jwt.expose().split('.').next().unwrap().to_owned();
        let head = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(head);
        let head: Value = serde_json::from_slice(&head.unwrap()).unwrap();
        head["kid"].as_str().unwrap().to_owned()
    }

    fn published(keys: &RelayKeys) -> Vec<String> {
        let jwks: Value = serde_json::from_str(&keys.jwks()).unwrap();
        let kid = |key: &Value| key["kid"].as_str().unwrap().to_owned();
        jwks["keys"].as_array().unwrap().iter().map(kid).collect()
    }

    #[tokio::test]
    async fn the_first_key_is_made_when_it_is_needed_and_once() {
        let bench = Bench::new();
        let (one, other) = (keys(&bench, true).await, keys(&bench, true).await);
        assert!(published(&one).is_empty());
        let (first, second) = tokio::join!(signs(&one), signs(&other));
        assert_eq!(first, second);
        assert_eq!(published(&one), published(&other));
        assert_eq!(published(&one), [first]);
    }

    #[tokio::test]
    async fn a_successor_is_published_a_day_before_it_signs_and_the_old_one_two_days_after() {
        let bench = Bench::new();
        let keys = keys(&bench, true).await;
        let old = signs(&keys).await;
        let new = keys.rotate(None).await.unwrap().to_string();
        assert_eq!(published(&keys), [old.clone(), new.clone()]);
        assert_eq!(signs(&keys).await, old);
        let again = keys.rotate(None).await.unwrap_err();
        assert!(matches!(&again, RelayError::NextWaits { id, .. } if id.as_str() == new));

        bench
            .clock
            .advance(PUBLISHED_BEFORE - TimeDelta::seconds(1));
        assert_eq!(signs(&keys).await, old);
        bench.clock.advance(TimeDelta::seconds(1));
        assert_eq!(signs(&keys).await, new);
        bench.clock.advance(RELAY_KEYS_STAY - TimeDelta::seconds(1));
        assert_eq!(published(&keys), [old, new.clone()]);
        bench.clock.advance(TimeDelta::seconds(1));
        assert_eq!(published(&keys), [&*new]);
        keys.parts.store.purge().await.unwrap();
        keys.refresh().await.unwrap();
        assert_eq!(published(&keys), [&*new]);
        assert_eq!(signs(&keys).await, new);
    }

    #[tokio::test]
    async fn where_one_is_retired_by_hand_the_other_signs_at_once() {
        let bench = Bench::new();
        let keys = keys(&bench, true).await;
        let old = signs(&keys).await;
        let new = keys.rotate(None).await.unwrap().to_string();
        let retire = async |id: &str| {
            let id = id.parse().unwrap();
            assert!(keys.parts.store.remove_relay_key(&id).await.unwrap());
            keys.refresh().await.unwrap();
        };
        retire(&old).await;
        assert_eq!(signs(&keys).await, new);
        retire(&new).await;
        let third = signs(&keys).await;
        assert!(third != old && third != new);
        let fourth = keys.rotate(None).await.unwrap().to_string();
        retire(&fourth).await;
        bench.clock.advance(PUBLISHED_BEFORE + RELAY_KEYS_STAY);
        assert_eq!(signs(&keys).await, third);
        assert_eq!(published(&keys), [third]);
    }

    #[tokio::test]
    async fn a_key_grows_old_only_where_rolegate_publishes_it() {
        let bench = Bench::new();
        let (here, bucket) = (keys(&bench, true).await, keys(&bench, false).await);
        assert!(!here.rotate_if_due().await.unwrap(), "there is none");
        let old = signs(&here).await;
        bucket.refresh().await.unwrap();
        bench.clock.advance(RELAY_KEY_AGES - TimeDelta::seconds(1));
        assert!(!here.rotate_if_due().await.unwrap());
        bench.clock.advance(TimeDelta::seconds(1));
        assert!(!bucket.rotate_if_due().await.unwrap());
        assert!(here.rotate_if_due().await.unwrap());
        assert!(!here.rotate_if_due().await.unwrap(), "its successor waits");
        assert_eq!(published(&here).len(), 2);
        assert_eq!(signs(&here).await, old);
    }

    #[tokio::test]
    async fn the_configuration_says_where_the_keys_are() {
        let bench = Bench::new();
        let keys = keys(&bench, true).await;
        let told: Value = serde_json::from_str(&keys.configuration()).unwrap();
        assert_eq!(told["issuer"], ISSUER);
        assert_eq!(told["jwks_uri"], format!("{ISSUER}/.well-known/jwks.json"));
        assert_eq!(told["response_types_supported"], json!(["id_token"]));
        assert_eq!(told["subject_types_supported"], json!(["public"]));
        let algorithms = &told["id_token_signing_alg_values_supported"];
        assert_eq!(*algorithms, json!(["RS256"]));
    }
}
