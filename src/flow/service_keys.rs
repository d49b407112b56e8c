//! rolegate's own key pairs in force: what it signs with, what it decrypts with, what it publishes.
//!
//! Of two signing keys the older one signs, since an IdP may not have the newer yet; of two encryption
//! keys the newer is published first, and both decrypt.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::model::{KeyUse, ServiceKeyRecord};
use crate::saml::metadata::{Published, service_provider};
use crate::saml::{ServiceKey, ServiceKeyError};
use crate::store::{Store, StoreError};

/// Where IdPs reach rolegate, for its metadata.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// `saml.entity_id`.
    pub entity_id: String,
    /// The ACS.
    pub acs_url: String,
    /// Single logout.
    pub slo_url: String,
}

/// The key pairs of one moment.
#[derive(Debug, Default)]
pub struct KeyRing {
    /// Newest first.
    pub decryption: Vec<ServiceKey>,
    /// Oldest first: the first one signs.
    pub signing: Vec<ServiceKey>,
}

impl KeyRing {
    /// Reads what the store holds; a pair that OpenSSL cannot work with is logged and left out.
    pub fn read(records: &[ServiceKeyRecord]) -> Self {
        let mut ring = Self::default();
        for record in records {
            match ServiceKey::from_pem(&record.private_key, &record.certificate) {
                Ok(key) if record.usage == KeyUse::Signing => ring.signing.push(key),
                Ok(key) => ring.decryption.insert(0, key),
                Err(error) => {
                    tracing::error!(event = "service_key_bad", key = %record.id, %error, "a key pair is left out");
                }
            }
        }
        ring
    }

    /// What signs, if anything does.
    pub fn signer(&self) -> Option<&ServiceKey> {
        self.signing.first()
    }

    /// Our metadata with these keys in it.
    pub fn metadata(&self, at: &Addresses) -> Result<String, ServiceKeyError> {
        service_provider(&Published {
            entity_id: &at.entity_id,
            acs_url: &at.acs_url,
            slo_url: &at.slo_url,
            signing: &self.signing,
            decryption: &self.decryption,
        })
    }
}

impl fmt::Debug for ServiceKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceKeys(..)")
    }
}

/// The key pairs in force, replaced when the store's change.
pub struct ServiceKeys {
    store: Store,
    addresses: Addresses,
    current: RwLock<Arc<KeyRing>>,
}

impl ServiceKeys {
    /// Reads the key pairs.
    pub async fn load(store: Store, addresses: Addresses) -> Result<Self, StoreError> {
        let ring = KeyRing::read(&store.service_keys().await?);
        Ok(Self {
            store,
            addresses,
            current: RwLock::new(Arc::new(ring)),
        })
    }

    /// Those in force now.
    pub fn current(&self) -> Arc<KeyRing> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Our metadata as it is now.
    pub fn metadata(&self) -> Result<String, ServiceKeyError> {
        self.current().metadata(&self.addresses)
    }

    /// Reads them again.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let ring = Arc::new(KeyRing::read(&self.store.service_keys().await?));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = ring;
        Ok(())
    }
}
